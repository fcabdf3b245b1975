package org.apache.kafka.connect.runtime.isolation;

/**
 * Takes the place of Kafka's class of this name, which looks for plug-ins in every class of every jar, and does so in each worker that a test starts: that is
 * most of what such a test costs. All plug-ins there have a manifest, as the workers say themselves, and by those they are found here.
 */
public class ReflectionScanner extends ServiceLoaderScanner {
}
