//! Medians per target, printed as a table.

use crate::targets::Target;

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Queries (or rows) per second.
    pub rate: f64,
    /// 95th percentile of the latency in milliseconds; none for a stream.
    pub p95_ms: Option<f64>,
    /// CPU of the proxy's process per query in microseconds; none without a proxy.
    pub proxy_us: Option<f64>,
    /// CPU of all database servers behind, per query in microseconds.
    pub server_us: f64,
}

pub struct Report {
    title: String,
    samples: Vec<(Target, Sample)>,
}

impl Report {
    pub fn new(title: String) -> Self {
        Self { title, samples: Vec::new() }
    }

    pub fn add(&mut self, target: Target, sample: Sample) {
        self.samples.push((target, sample));
    }

    pub fn print(&self) {
        println!("{}", self.title);
        println!(
            "  {:<12} {:>12} {:>10} {:>10} {:>11} {:>11}",
            "target", "per second", "p95 ms", "proxy CPU", "× HAProxy", "server CPU"
        );
        let haproxy = self.median(Target::HaProxy, |sample| sample.proxy_us);
        for target in Target::ALL {
            let Some(rate) = self.median(target, |sample| Some(sample.rate)) else { continue };
            let proxy = self.median(target, |sample| sample.proxy_us);
            let ratio = haproxy.zip(proxy).map(|(haproxy, proxy)| proxy / haproxy);
            println!(
                "  {:<12} {:>12.0} {:>10} {:>10} {:>11} {:>11}",
                target.name(),
                rate,
                cell(self.median(target, |sample| sample.p95_ms), 2),
                cell(proxy, 1),
                cell(ratio, 2),
                cell(self.median(target, |sample| Some(sample.server_us)), 1),
            );
        }
        println!();
    }

    fn median(&self, target: Target, field: impl Fn(&Sample) -> Option<f64>) -> Option<f64> {
        let of_target = self.samples.iter().filter(|(of, _)| *of == target);
        let mut values: Vec<f64> = of_target.filter_map(|(_, sample)| field(sample)).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}
