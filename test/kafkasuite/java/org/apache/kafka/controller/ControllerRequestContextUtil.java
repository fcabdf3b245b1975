package org.apache.kafka.controller;

import java.util.OptionalLong;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.security.auth.KafkaPrincipal;

/** In the place of a class that the tests of Kafka's core use and that is published nowhere: who asks the controller. */
public final class ControllerRequestContextUtil {
    public static final ControllerRequestContext ANONYMOUS_CONTEXT = new ControllerRequestContext(new RequestHeaderData(), KafkaPrincipal.ANONYMOUS, OptionalLong.empty());

    private ControllerRequestContextUtil() {
    }
}
