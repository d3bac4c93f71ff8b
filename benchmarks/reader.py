"""The limit: aiokafka reads the whole log in batches and msgspec decodes it; nothing is kept.

`python -m benchmarks.reader KAFKA RECORDS` prints one JSON line: records, seconds, CPU seconds.
"""

from __future__ import annotations

import sys
import time

import msgspec
import uvloop
from aiokafka import AIOKafkaConsumer

from benchmarks.broker import feedback_partitions
from schemas.feedback import FeedbackRecord

MAX_POLL_RECORDS = 40_000  # as the worker is set


async def read(kafka: str, records: int) -> dict[str, float]:
    """Read `records` records of the log from its beginning, timed from the first fetch on."""
    decode = msgspec.json.Decoder(FeedbackRecord).decode
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka,
        enable_auto_commit=False,
        max_partition_fetch_bytes=4 << 20,
        max_poll_records=MAX_POLL_RECORDS,
    )
    await consumer.start()
    try:
        consumer.assign(feedback_partitions())
        await consumer.seek_to_beginning()
        seen = before = 0
        started = cpu = 0.0
        while seen < records:
            for batch in (await consumer.getmany(timeout_ms=500)).values():
                for record in batch:
                    decode(record.value)
                seen += len(batch)
            if not before:
                before, started, cpu = seen, time.perf_counter(), time.process_time()
        return {
            "records": seen - before,
            "seconds": time.perf_counter() - started,
            "cpu_seconds": time.process_time() - cpu,
        }
    finally:
        await consumer.stop()


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(uvloop.run(read(sys.argv[1], int(sys.argv[2])))).decode() + "\n")
