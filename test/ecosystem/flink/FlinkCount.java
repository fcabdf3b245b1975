import java.util.concurrent.atomic.AtomicInteger;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * Counts the words in topic "words" and writes "WORD COUNT" to topic "counts", with checkpoints and exactly once.
 * Arguments: BOOTSTRAP, the directory of checkpoints, after how many words to fail once (0: never), the checkpoint to start from (may be missing).
 */
public class FlinkCount {
    public static void main(String[] args) throws Exception {
        Configuration conf = new Configuration();
        conf.setString("execution.checkpointing.interval", "500ms");
        conf.setString("execution.checkpointing.mode", "EXACTLY_ONCE");
        conf.setString("execution.checkpointing.dir", "file://" + args[1]);
        conf.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        conf.setString("restart-strategy.type", "fixed-delay");
        conf.setString("restart-strategy.fixed-delay.attempts", "3");
        conf.setString("restart-strategy.fixed-delay.delay", "100ms");
        if (args.length > 3) {
            conf.setString("execution.state-recovery.path", "file://" + args[3]);
        }
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(conf);
        env.setParallelism(2);
        KafkaSource<String> source = KafkaSource.<String>builder().setBootstrapServers(args[0]).setTopics("words").setGroupId("flink")
            .setStartingOffsets(OffsetsInitializer.earliest()).setValueOnlyDeserializer(new SimpleStringSchema()).build();
        KafkaSink<String> sink = KafkaSink.<String>builder().setBootstrapServers(args[0])
            .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder().setTopic("counts").setValueSerializationSchema(new SimpleStringSchema()).build())
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE).setTransactionalIdPrefix("flink")
            .setProperty("transaction.timeout.ms", "600000").build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "words").uid("words")
            .keyBy(new Word()).process(new Count(Integer.parseInt(args[2]))).uid("count").sinkTo(sink).uid("counts");
        env.execute();
    }

    /** The word is its own key. */
    public static class Word implements KeySelector<String, String> {
        @Override
        public String getKey(String word) {
            return word;
        }
    }

    /** Counts, and fails once when it has seen so many words. */
    public static class Count extends KeyedProcessFunction<String, String, String> {
        private static final AtomicInteger SEEN = new AtomicInteger();
        private final int failAfter;
        private transient ValueState<Long> count;

        public Count(int failAfter) {
            this.failAfter = failAfter;
        }

        @Override
        public void open(OpenContext context) {
            count = getRuntimeContext().getState(new ValueStateDescriptor<>("count", Long.class));
        }

        @Override
        public void processElement(String word, Context context, Collector<String> out) throws Exception {
            if (failAfter > 0 && SEEN.incrementAndGet() == failAfter) {
                System.err.println("fails as planned");
                throw new IllegalStateException("fails as planned");
            }
            Long n = count.value();
            count.update(n == null ? 1 : n + 1);
            out.collect(word + " " + count.value());
        }
    }
}
