package sluice.kafkasuite;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.message.SaslAuthenticateRequestData;
import org.apache.kafka.common.message.SaslHandshakeRequestData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.requests.AbstractRequest;
import org.apache.kafka.common.requests.RequestHeader;
import org.apache.kafka.common.requests.SaslAuthenticateRequest;
import org.apache.kafka.common.requests.SaslHandshakeRequest;
import org.apache.kafka.common.utils.Utils;

/**
 * Listens where clients connect that do not log in, and logs them in at the broker's listener behind it, by PLAIN, as the user that the test's own class
 * takes them for. What they say after that, and what they are told, is handed on.
 */
final class Doorman implements AutoCloseable {
    private final ServerSocket door;
    private final int behind;
    private final String user;
    private final Set<Socket> open = ConcurrentHashMap.newKeySet();

    Doorman(int port, int behind, String user) {
        this.behind = behind;
        this.user = user;
        try {
            door = new ServerSocket();
            door.setReuseAddress(true);
            door.bind(new InetSocketAddress("localhost", port));
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
        run(this::accept);
    }

    private interface Step {
        void run() throws IOException;
    }

    private void run(Step step) {
        Thread t = new Thread(() -> {
            try {
                step.run();
            } catch (IOException ended) {
                // one side is gone, and so is the other
            }
        }, "doorman");
        t.setDaemon(true);
        t.start();
    }

    private void accept() throws IOException {
        while (true) {
            Socket client = door.accept();
            open.add(client);
            run(() -> serve(client));
        }
    }

    private void serve(Socket client) throws IOException {
        try (Socket c = client; Socket broker = new Socket(InetAddress.getByName("localhost"), behind)) {
            open.add(broker);
            c.setTcpNoDelay(true);
            broker.setTcpNoDelay(true);
            login(broker);
            run(() -> {
                try (c; broker) {
                    broker.getInputStream().transferTo(c.getOutputStream());
                }
            });
            copy(c.getInputStream(), broker.getOutputStream());
        } finally {
            open.remove(client);
        }
    }

    private static void copy(InputStream from, OutputStream to) throws IOException {
        byte[] some = new byte[16384];
        for (int n = from.read(some); n >= 0; n = from.read(some)) {
            to.write(some, 0, n);
            to.flush();
        }
    }

    private void login(Socket broker) throws IOException {
        say(broker, new SaslHandshakeRequest(new SaslHandshakeRequestData().setMechanism("PLAIN"), (short) 1), ApiKeys.SASL_HANDSHAKE);
        byte[] token = ("\0" + user + "\0" + password(user)).getBytes(StandardCharsets.UTF_8);
        say(broker, new SaslAuthenticateRequest(new SaslAuthenticateRequestData().setAuthBytes(token), (short) 1), ApiKeys.SASL_AUTHENTICATE);
    }

    /** Sends a request and reads the answer: version 1 of both has the error behind the number that connects the two. */
    private static void say(Socket broker, AbstractRequest request, ApiKeys key) throws IOException {
        byte[] bytes = Utils.toArray(request.serializeWithHeader(new RequestHeader(key, (short) 1, "doorman", 1)));
        DataOutputStream out = new DataOutputStream(broker.getOutputStream());
        out.writeInt(bytes.length);
        out.write(bytes);
        out.flush();
        DataInputStream in = new DataInputStream(broker.getInputStream());
        byte[] answer = in.readNBytes(in.readInt());
        if (ByteBuffer.wrap(answer).getShort(4) != 0) {
            throw new IOException(key + " is refused");
        }
    }

    static String password(String user) {
        return user + "-secret";
    }

    @Override
    public void close() {
        try {
            door.close();
            for (Socket s : open) {
                s.close();
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }
}
