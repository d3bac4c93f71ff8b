import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.Serializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.TimestampExtractor;

/**
 * Three hopping windows in Kafka Streams, as its documentation shows them: one thread, stores and changelogs as they
 * come, JSON through Jackson. `benchmarks.peers.run` compiles and starts it; the rate is taken as in `meter.py`.
 */
public final class KafkaStreamsWindows {
  private static final String TOPIC = "feedback.v1";
  private static final Duration LATE = Duration.ofSeconds(5); // answers of a team come out of order by up to 3 s
  private static final ObjectMapper JSON = new ObjectMapper();

  /** What the job needs of a record. */
  @JsonIgnoreProperties(ignoreUnknown = true)
  public record Answer(int score, long answered_ms) {}

  /** Answers of one window. */
  public record Tally(long promoters, long passives, long detractors) {
    Tally plus(Answer answer) {
      if (answer.score() >= 9) {
        return new Tally(promoters + 1, passives, detractors);
      }
      return answer.score() >= 7
          ? new Tally(promoters, passives + 1, detractors)
          : new Tally(promoters, passives, detractors + 1);
    }
  }

  /** Event time: the topic's own time is when an answer was appended. */
  public static final class AnsweredMs implements TimestampExtractor {
    @Override
    public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
      return ((Answer) record.value()).answered_ms();
    }
  }

  private static Serde<Answer> answers() {
    Serializer<Answer> never = (topic, answer) -> {
      throw new UnsupportedOperationException("answers are only read");
    };
    Deserializer<Answer> read = (topic, data) -> {
      try {
        return JSON.readValue(data, Answer.class);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
    };
    return Serdes.serdeFrom(never, read);
  }

  private static Serde<Tally> tallies() {
    Serializer<Tally> write = (topic, tally) -> ByteBuffer.allocate(24)
        .putLong(tally.promoters()).putLong(tally.passives()).putLong(tally.detractors()).array();
    Deserializer<Tally> read = (topic, data) -> {
      if (data == null) {
        return null;
      }
      ByteBuffer buffer = ByteBuffer.wrap(data);
      return new Tally(buffer.getLong(), buffer.getLong(), buffer.getLong());
    };
    return Serdes.serdeFrom(write, read);
  }

  private static void count(KGroupedStream<String, Answer> byTeam, Duration length, Duration hop, AtomicLong emitted) {
    byTeam
        .windowedBy(TimeWindows.ofSizeAndGrace(length, LATE).advanceBy(hop))
        .aggregate(
            () -> new Tally(0, 0, 0),
            (team, answer, tally) -> tally.plus(answer),
            Materialized.with(Serdes.String(), tallies()))
        .toStream()
        .foreach((window, tally) -> emitted.incrementAndGet());
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> told = System.getenv();
    Properties settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-kafka-streams");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, told.get("PEER_KAFKA"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, told.get("PEER_FOLDER"));
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");

    AtomicLong seen = new AtomicLong();
    AtomicLong emitted = new AtomicLong();
    StreamsBuilder builder = new StreamsBuilder();
    KGroupedStream<String, Answer> byTeam = builder
        .stream(TOPIC, Consumed.with(Serdes.String(), answers()).withTimestampExtractor(new AnsweredMs()))
        .peek((team, answer) -> seen.incrementAndGet())
        .groupByKey(Grouped.with(Serdes.String(), answers()));
    count(byTeam, Duration.ofHours(1), Duration.ofMinutes(1), emitted);
    count(byTeam, Duration.ofHours(24), Duration.ofHours(1), emitted);
    count(byTeam, Duration.ofDays(7), Duration.ofDays(1), emitted);

    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    streams.start();
    measure(told, seen);
    System.exit(0);
  }

  /** What was seen, when, and the processor time until then. */
  private record Look(long seen, double seconds, double cpuSeconds) {}

  /** Warm up, then count for so many seconds or until the log has been read; write the result file. */
  private static void measure(Map<String, String> told, AtomicLong seen) throws Exception {
    long records = Long.parseLong(told.get("PEER_RECORDS"));
    Look first = until(1, Double.MAX_VALUE, seen);
    Look begun = until(records, first.seconds() + Double.parseDouble(told.get("PEER_WARM_UP_S")), seen);
    if (begun.seen() >= records) {
      begun = first; // a log that ends within the warm-up counts from its first answers
    }
    Look end = until(records, begun.seconds() + Double.parseDouble(told.get("PEER_SECONDS")), seen);
    String found = String.format(
        Locale.ROOT, "{\"records\": %d, \"seconds\": %f, \"cpu_seconds\": %f}",
        end.seen() - begun.seen(), end.seconds() - begun.seconds(), end.cpuSeconds() - begun.cpuSeconds());
    Files.writeString(Path.of(told.get("PEER_RESULT")), found);
  }

  private static Look until(long records, double deadlineS, AtomicLong seen) throws InterruptedException {
    while (seen.get() < records && System.nanoTime() / 1e9 < deadlineS) {
      Thread.sleep(5);
    }
    return new Look(seen.get(), System.nanoTime() / 1e9, cpuSeconds());
  }

  private static double cpuSeconds() {
    var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e9;
  }
}
