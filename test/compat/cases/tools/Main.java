import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/** Runs the cases of a file and prints their outcomes: Main FILE BOOTSTRAP PREFIX [PARTS-OF-NAMES]. Package cases says what a program prints. */
public class Main {
    public static void main(String[] args) throws Exception {
        var printed = System.out;
        var script = Script.parse(Files.readAllLines(Path.of(args[0])));
        var tools = new Tools();
        int done = 0;
        for (var c : script.cases) {
            if (args.length > 3 && Arrays.stream(args[3].split(",")).noneMatch(c.name()::contains)) continue;
            long start = System.nanoTime();
            String line;
            try (var run = new Run(script, tools, args[1], args[2] + c.name().replace('/', '-'))) {
                line = "ok " + run.all(c.steps());
            } catch (Throwable e) {
                if (e.getMessage() == null) e.printStackTrace();
                line = "fail " + (e.getMessage() == null ? e.toString() : e.getMessage());
            }
            printed.println("case " + c.name() + " " + String.join(" ", List.of(line.split("\\s+"))));
            System.err.printf("%s: %d ms%n", c.name(), (System.nanoTime() - start) / 1_000_000);
            done++;
        }
        printed.println("done " + done);
        printed.flush();
        Runtime.getRuntime().halt(0);
    }
}
