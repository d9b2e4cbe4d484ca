//! CPU time and memory of a process, from `/proc`.

/// A process by its id.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// The unit of times in `/proc/<pid>/stat`, fixed by Linux's interface to programs.
const TICKS_PER_SECOND: u64 = 100;

impl Process {
    /// User and system time of all threads, ended ones too, in microseconds. The kernel scales their sum to the
    /// exact run time; only the last digit (10 ms) is lost.
    pub fn cpu_us(self) -> Result<u64, String> {
        let path = format!("/proc/{}/stat", self.0);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The program's name may contain anything; fields are counted from its closing parenthesis.
        let fields: Vec<&str> =
            text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
        match (ticks(11), ticks(12)) {
            (Some(user), Some(system)) => Ok((user + system) * (1_000_000 / TICKS_PER_SECOND)),
            _ => Err(format!("{path}: unknown form")),
        }
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.0);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        text.lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .map(|kilobytes| kilobytes * 1024)
            .ok_or_else(|| format!("{path}: no VmRSS"))
    }
}
