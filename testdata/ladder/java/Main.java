import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

public class Main {
    static int one(int number) throws Exception {
        Path file = Files.createTempFile("x", "y");
        Files.writeString(file, "a" + number);
        int size = (int) Files.size(file);
        int status = new ProcessBuilder("/bin/true").start().waitFor();
        Files.delete(file);
        return size + status;
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(16);
        List<Future<Integer>> all = new ArrayList<>();
        for (int i = 0; i < 64; i++) {
            int number = i;
            all.add(pool.submit(() -> one(number)));
        }
        int sum = 0;
        for (Future<Integer> each : all) {
            sum += each.get();
        }
        pool.shutdown();
        if (sum != 182) {
            throw new Exception("sum is " + sum);
        }
        System.out.println(System.getProperty("java.home") + " " + System.getProperty("user.name"));
    }
}
