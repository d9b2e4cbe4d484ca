//! Counters, gauges and histograms of one router, and their Prometheus text.
//!
//! Nothing here is global: a [`Metrics`] is made once and handed to whoever counts. Ordinary counters go through
//! the `metrics` crate's Prometheus recorder; what is counted for every statement uses [`Histogram`] and the
//! collectors instead, so that the hot path costs relaxed adds on memory of its own worker.
//! Names begin with `shardgate_`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Key, KeyName, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

/// Monotonic counter; cloning gives another handle on the same number.
pub use metrics::Counter;
/// A number that goes up and down; cloning gives another handle on the same number.
pub use metrics::Gauge;

/// Labels of one time series: names and values.
pub type Labels<'a> = &'a [(&'static str, &'a str)];

/// Every time series of one router.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: Mutex<Vec<Family>>,
    collectors: Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
}

struct Family {
    name: &'static str,
    help: &'static str,
    series: Vec<(String, Arc<Histogram>)>,
}

impl Metrics {
    /// An empty set.
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle, histograms: Mutex::default(), collectors: Mutex::default() }
    }

    /// The counter with this name and these labels, made when it is new. Keep the handle: looking it up costs
    /// a hash table.
    pub fn counter(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Counter {
        self.recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// The gauge with this name and these labels, made when it is new.
    pub fn gauge(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Gauge {
        self.recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// A new histogram of durations with this name and these labels. Calling it again with the same labels adds
    /// another part of the same series (one per worker, say); the parts are summed when rendered.
    pub fn histogram(&self, name: &'static str, help: &'static str, labels: Labels<'_>) -> Arc<Histogram> {
        let histogram = Arc::new(Histogram::default());
        let part = (render_labels(labels), histogram.clone());
        let mut families = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        match families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.series.push(part),
            None => families.push(Family { name, help, series: vec![part] }),
        }
        histogram
    }

    /// Has `collect` called before each rendering, to bring counters and gauges up to date
    /// ([`Counter::absolute`], [`Gauge::set`]) from numbers that are kept elsewhere.
    pub fn on_render(&self, collect: impl Fn() + Send + Sync + 'static) {
        self.collectors.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(collect));
    }

    /// Everything in Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        for collect in self.collectors.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            collect();
        }
        let mut text = self.handle.render();
        for family in self.histograms.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            family.render(&mut text);
        }
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Upper bounds of the buckets in microseconds: from a cached point select to a report.
const BUCKETS_MICROS: [u64; 16] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000, 10_000_000,
];

/// Durations in fixed buckets. Recording is three relaxed adds and no lock.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn record_micros(&self, micros: u64) {
        let bucket = BUCKETS_MICROS.partition_point(|&bound| bound < micros);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Family {
    fn render(&self, out: &mut String) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {} {}\n# TYPE {} histogram", self.name, self.help, self.name);
        let mut labels: Vec<&str> = self.series.iter().map(|(labels, _)| labels.as_str()).collect();
        labels.sort_unstable();
        labels.dedup();
        for label in labels {
            let parts = self.series.iter().filter(|(of, _)| of == label).map(|(_, histogram)| &**histogram);
            render_series(out, self.name, label, parts);
        }
        out.push('\n');
    }
}

fn render_series<'a>(
    out: &mut String,
    name: &str,
    labels: &str,
    parts: impl Iterator<Item = &'a Histogram> + Clone,
) {
    let comma = if labels.is_empty() { "" } else { "," };
    let mut count = 0;
    for bucket in 0..=BUCKETS_MICROS.len() {
        count += parts.clone().map(|part| part.buckets[bucket].load(Ordering::Relaxed)).sum::<u64>();
        let _ = match BUCKETS_MICROS.get(bucket) {
            Some(bound) => {
                writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{}\"}} {count}", seconds(*bound))
            }
            None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
        };
    }
    let sum = parts.map(|part| part.sum_micros.load(Ordering::Relaxed)).sum::<u64>();
    let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
    let _ = writeln!(out, "{name}_sum{braces} {}\n{name}_count{braces} {count}", seconds(sum));
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

const METADATA: Metadata<'static> = Metadata::new("shardgate", Level::INFO, None);

fn key(name: &'static str, labels: Labels<'_>) -> Key {
    let labels: Vec<Label> =
        labels.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

fn render_labels(labels: Labels<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_counters_and_gauges_with_labels() {
        let metrics = Metrics::new();
        metrics.counter("shardgate_things_total", "Things.", &[("kind", "a")]).increment(3);
        let gauge = metrics.gauge("shardgate_open", "Open things.", &[]);
        metrics.on_render(move || gauge.set(7.0));
        let text = metrics.render();
        assert!(text.contains("shardgate_things_total{kind=\"a\"} 3"), "{text}");
        assert!(text.contains("shardgate_open 7"), "{text}");
        assert!(text.contains("# HELP shardgate_open Open things."), "{text}");
    }

    #[test]
    fn sums_the_parts_of_a_histogram_and_keeps_buckets_cumulative() {
        let metrics = Metrics::new();
        let first = metrics.histogram("shardgate_seconds", "Time.", &[("command", "query")]);
        let second = metrics.histogram("shardgate_seconds", "Time.", &[("command", "query")]);
        first.record_micros(50);
        second.record_micros(51);
        second.record_micros(60_000_000);
        let text = metrics.render();
        for line in [
            "shardgate_seconds_bucket{command=\"query\",le=\"0.00005\"} 1",
            "shardgate_seconds_bucket{command=\"query\",le=\"0.0001\"} 2",
            "shardgate_seconds_bucket{command=\"query\",le=\"10\"} 2",
            "shardgate_seconds_bucket{command=\"query\",le=\"+Inf\"} 3",
            "shardgate_seconds_sum{command=\"query\"} 60.000101",
            "shardgate_seconds_count{command=\"query\"} 3",
        ] {
            assert!(text.contains(line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn quotes_label_values() {
        assert_eq!(render_labels(&[("a", "x\"y\\z"), ("b", "1")]), "a=\"x\\\"y\\\\z\",b=\"1\"");
    }
}
