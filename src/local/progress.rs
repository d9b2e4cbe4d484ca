//! Progress of a start: a bar on a terminal, plain lines elsewhere, nothing in tests.

use std::io::Write;
use std::sync::Mutex;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes. Called from several threads.
pub trait Progress: Sync {
    /// A start of `step_count` steps begins.
    fn begin(&self, step_count: usize);
    /// One more step is done; `what` says which.
    fn advance(&self, what: &str);
    /// Something worth saying that is no step.
    fn note(&self, what: &str);
    /// All is done.
    fn finish(&self);
}

/// No progress.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _step_count: usize) {}
    fn advance(&self, _what: &str) {}
    fn note(&self, _what: &str) {}
    fn finish(&self) {}
}

/// One line per step, for logs and pipes.
pub struct Lines<W>(Mutex<LinesState<W>>);

struct LinesState<W> {
    out: W,
    done: usize,
    step_count: usize,
}

impl<W: Write + Send> Lines<W> {
    /// Lines to `out`, usually the standard error.
    pub fn new(out: W) -> Self {
        Self(Mutex::new(LinesState { out, done: 0, step_count: 0 }))
    }

    fn with(&self, write: impl FnOnce(&mut LinesState<W>) -> std::io::Result<()>) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Progress that cannot be shown is no reason to stop.
        let _ = write(&mut state);
    }
}

impl<W: Write + Send> Progress for Lines<W> {
    fn begin(&self, step_count: usize) {
        self.with(|state| {
            (state.done, state.step_count) = (0, step_count);
            Ok(())
        });
    }

    fn advance(&self, what: &str) {
        self.with(|state| {
            state.done += 1;
            writeln!(state.out, "[{}/{}] {what}", state.done, state.step_count)
        });
    }

    fn note(&self, what: &str) {
        self.with(|state| writeln!(state.out, "{what}"));
    }

    fn finish(&self) {}
}

/// A bar on a terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar on the standard error; it hides itself where that is no terminal.
    pub fn new() -> Self {
        let bar = ProgressBar::new(0);
        if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self(bar)
    }
}

impl Default for Bar {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress for Bar {
    fn begin(&self, step_count: usize) {
        self.0.reset();
        self.0.set_length(step_count as u64);
    }

    fn advance(&self, what: &str) {
        self.0.set_message(what.to_owned());
        self.0.inc(1);
    }

    fn note(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_count_the_steps() {
        let lines = Lines::new(Vec::new());
        lines.begin(2);
        lines.note("preparing");
        lines.advance("zone1-1 is up");
        lines.advance("zone1-2 is up");
        lines.finish();
        let out = lines.0.into_inner().unwrap().out;
        assert_eq!(String::from_utf8(out).unwrap(), "preparing\n[1/2] zone1-1 is up\n[2/2] zone1-2 is up\n");
    }
}
