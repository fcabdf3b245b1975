import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.streaming.Trigger;

/**
 * Reads topic "words" with Spark, in one of two ways.
 * "copy BOOTSTRAP": all that it has as of now, as one batch, written to topic "copy".
 * "count BOOTSTRAP CHECKPOINTS": as a stream in small batches; the number of each word that a batch changed is written to topic "counts". It goes on where
 * the checkpoints end.
 */
public class SparkCount {
    private static final String KAFKA = "kafka", BOOTSTRAP = "kafka.bootstrap.servers";

    public static void main(String[] args) throws Exception {
        SparkSession spark = SparkSession.builder().master("local[2]").appName("words").config("spark.ui.enabled", false)
            .config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1").config("spark.sql.shuffle.partitions", 2)
            .config("spark.sql.warehouse.dir", System.getProperty("java.io.tmpdir")).getOrCreate();
        if (args[0].equals("copy")) {
            copy(spark, args[1]);
        } else {
            count(spark, args[1], args[2]);
        }
    }

    private static void copy(SparkSession spark, String bootstrap) {
        Dataset<Row> words = spark.read().format(KAFKA).option(BOOTSTRAP, bootstrap).option("subscribe", "words").option("includeHeaders", true).load();
        words.selectExpr("key", "value", "headers", "partition").write().format(KAFKA).option(BOOTSTRAP, bootstrap).option("topic", "copy").save();
        System.out.println("copied");
        spark.stop();
    }

    private static void count(SparkSession spark, String bootstrap, String checkpoints) throws Exception {
        Dataset<Row> words = spark.readStream().format(KAFKA).option(BOOTSTRAP, bootstrap).option("subscribe", "words")
            .option("startingOffsets", "earliest").option("maxOffsetsPerTrigger", 1000).load();
        words.selectExpr("CAST(value AS STRING) AS word").groupBy("word").count()
            .selectExpr("word AS key", "CAST(count AS STRING) AS value")
            .writeStream().outputMode("update").format(KAFKA).option(BOOTSTRAP, bootstrap).option("topic", "counts")
            .option("checkpointLocation", checkpoints).trigger(Trigger.ProcessingTime(0)).start().awaitTermination();
    }
}
