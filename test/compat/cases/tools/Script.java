import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;

/** The cases of cases.txt, whose head says how they are written. */
class Script {
    record Mask(Pattern pattern, String replacement) {}
    record Case(String name, List<String> steps) {}

    final List<Mask> masks = new ArrayList<>();
    final List<Case> cases = new ArrayList<>();

    static Script parse(List<String> lines) {
        var script = new Script();
        for (var line : lines) {
            line = line.strip();
            if (line.isEmpty() || line.startsWith("#")) continue;
            if (line.startsWith("mask ")) {
                var parts = line.substring(5).split(" =>", -1);
                script.masks.add(new Mask(Pattern.compile(parts[0]), parts[1].strip()));
            } else if (line.startsWith("case ")) {
                script.cases.add(new Case(line.substring(5), new ArrayList<>()));
            } else {
                script.cases.get(script.cases.size() - 1).steps().add(line);
            }
        }
        return script;
    }

    /** Takes out what is another each time. */
    String mask(String text) {
        for (var m : masks) text = m.pattern.matcher(text).replaceAll(m.replacement);
        return text;
    }

    /** Splits a line into words; single quotes keep blanks. */
    static String[] words(String line) {
        var all = new ArrayList<String>();
        var word = new StringBuilder();
        boolean quoted = false, any = false;
        for (char c : line.toCharArray()) {
            if (c == '\'') {
                quoted = !quoted;
                any = true;
            } else if (c == ' ' && !quoted) {
                if (any) all.add(word.toString());
                word.setLength(0);
                any = false;
            } else {
                word.append(c);
                any = true;
            }
        }
        if (any) all.add(word.toString());
        return all.toArray(new String[0]);
    }
}
