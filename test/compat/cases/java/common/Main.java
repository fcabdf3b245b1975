/** Runs the cases of the Java client. Usage: Main BOOTSTRAP PREFIX [PART-OF-A-NAME] */
final class Main {
    public static void main(String[] args) throws Exception {
        GroupCases.add();
        DataCases.add();
        ReadCases.add();
        AdminCases.add();
        Api.addCases();
        SecurityCases.add();
        Kit.main(args);
    }
}
