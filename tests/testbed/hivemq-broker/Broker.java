import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.auth.parameter.SimpleAuthInput;
import com.hivemq.extension.sdk.api.packets.connect.ConnectPacket;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * HiveMQ Community Edition, embedded: a second MQTT broker, written independently of mosquitto. mqtt.sh runs it.
 *
 * <p>Arguments: its folder (with conf, data and extensions), the port on which a password is asked for (- for none), the user, the
 * password. SIGTERM stops it cleanly.
 */
public class Broker {
    /** Lets everybody in, except on the port with a password. */
    private static final class PasswordOnOnePort implements ExtensionMain {
        private final int port;
        private final String user, password;

        PasswordOnOnePort(String port, String user, String password) {
            this.port = port.equals("-") ? -1 : Integer.parseInt(port);
            this.user = user;
            this.password = password;
        }

        @Override
        public void extensionStart(ExtensionStartInput input, ExtensionStartOutput output) {
            SimpleAuthenticator authenticator = (in, out) -> {
                if (isAllowed(in)) {
                    out.authenticateSuccessfully();
                } else {
                    out.failAuthentication();
                }
            };
            Services.securityRegistry().setAuthenticatorProvider(provider -> authenticator);
        }

        @Override
        public void extensionStop(ExtensionStopInput input, ExtensionStopOutput output) { }

        private boolean isAllowed(SimpleAuthInput in) {
            if (in.getConnectionInformation().getListener().map(l -> l.getPort() != port).orElse(true)) {
                return true;
            }
            ConnectPacket connect = in.getConnectPacket();
            return connect.getUserName().map(user::equals).orElse(false)
                && connect.getPassword().map(p -> StandardCharsets.UTF_8.decode(p).toString().equals(password)).orElse(false);
        }
    }

    public static void main(String[] arguments) {
        Path folder = Path.of(arguments[0]);
        EmbeddedExtension extension = EmbeddedExtension.builder()
            .withId("testbed").withName("testbed").withVersion("1").withAuthor("testbed").withPriority(0).withStartPriority(1000)
            .withExtensionMain(new PasswordOnOnePort(arguments[1], arguments[2], arguments[3]))
            .build();
        EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
            .withConfigurationFolder(folder.resolve("conf"))
            .withDataFolder(folder.resolve("data"))
            .withExtensionsFolder(folder.resolve("extensions"))
            .withEmbeddedExtension(extension)
            .build();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> broker.stop().join()));
        broker.start().join();
    }
}
