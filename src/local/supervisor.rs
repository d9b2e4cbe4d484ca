//! One child process that never outlives its parent, not even a parent that was killed with SIGKILL.
//!
//! Linux offers PR_SET_PDEATHSIG for this, but it needs unsafe code here and fires when the *thread* that
//! started the child ends, which tests and thread pools do all the time. So each server runs under a few lines
//! of shell that read a pipe from us: whatever way we die, the kernel closes the pipe, and the shell stops the
//! server. Signals go through the same pipe, so none can hit a process id that was given away meanwhile. The
//! shell is in a process group of its own: Ctrl-C at the terminal reaches us alone, and we stop the servers.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{Error, Result};

const SCRIPT: &str = include_str!("supervisor.sh");

/// Wait for a stopped server to be gone: the script gives it 10 s after SIGTERM.
const STOP_WAIT: Duration = Duration::from_secs(13);

/// A running child.
#[derive(Debug)]
pub(super) struct Supervised {
    shell: Child,
    control: Option<ChildStdin>,
    pid: u32,
}

/// What can be done to a running child.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signal {
    Continue,
    Kill,
    Stop,
}

impl Supervised {
    /// Starts `command`; its output is appended to `log`.
    pub(super) fn spawn(command: &[String], log: &Path) -> Result<Self> {
        OpenOptions::new().create(true).append(true).open(log).map_err(Error::io("cannot write", log))?;
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "supervisor"])
            .arg(log)
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(Error::io("cannot run", Path::new("/bin/sh")))?;
        let control = shell.stdin.take();
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::io("cannot read from", log))?;
        }
        let Ok(pid) = line.trim().parse() else {
            let source = std::io::Error::other("its supervisor did not start");
            return Err(Error::io("cannot run", Path::new(&command[0]))(source));
        };
        Ok(Self { shell, control, pid })
    }

    /// The server's own process id.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it still runs.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Sends a signal and waits until it has taken effect.
    pub(super) fn signal(&mut self, signal: Signal) {
        let name = match signal {
            Signal::Continue => "CONT",
            Signal::Kill => "KILL",
            Signal::Stop => "STOP",
        };
        if let Some(control) = &mut self.control {
            // A supervisor that is gone has no server left to signal.
            let _ = writeln!(control, "{name}").and_then(|()| control.flush());
        }
        let pid = self.pid;
        match signal {
            Signal::Kill => drop(self.wait_for_exit(STOP_WAIT)),
            Signal::Stop => wait_until(STOP_WAIT, || process_state(pid).is_none_or(|state| state == 'T')),
            Signal::Continue => wait_until(STOP_WAIT, || process_state(pid) != Some('T')),
        }
    }

    /// Begins a clean stop: SIGTERM now, SIGKILL if the server has not ended after 10 s. Does not wait.
    pub(super) fn begin_stop(&mut self) {
        self.control = None;
    }

    /// Waits for the end of a server that was asked to stop; false if it is still there after the wait.
    pub(super) fn wait_for_exit(&mut self, wait: Duration) -> bool {
        let shell = &mut self.shell;
        wait_until(wait, || !matches!(shell.try_wait(), Ok(None)));
        !self.is_running()
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.begin_stop();
        self.wait_for_exit(STOP_WAIT);
    }
}

fn wait_until(wait: Duration, mut is_done: impl FnMut() -> bool) {
    let deadline = Instant::now() + wait;
    while !is_done() && Instant::now() < deadline {
        sleep(Duration::from_millis(5));
    }
}

/// The state letter of a process, from Linux's /proc.
fn process_state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// Whether process `pid` runs and has `needle` on its command line.
pub(super) fn is_process_of(pid: u32, needle: &str) -> bool {
    let command_line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command_line).contains(needle)
}

/// Waits for a process that another parent's supervisor is stopping, then kills it if it is still there.
pub(super) fn end_leftover(pid: u32, needle: &str) {
    wait_until(STOP_WAIT, || !is_process_of(pid, needle));
    if is_process_of(pid, needle) {
        let _ = Command::new("/bin/sh").args(["-c", "kill -s KILL \"$1\"", "sh", &pid.to_string()]).status();
        wait_until(Duration::from_secs(2), || !is_process_of(pid, needle));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spawn(script: &str) -> (Supervised, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        (Supervised::spawn(&command, &dir.path().join("log")).unwrap(), dir)
    }

    #[test]
    fn output_goes_to_the_log_and_the_end_is_seen() {
        let (mut child, dir) = spawn("echo out; echo err >&2");
        assert!(child.wait_for_exit(STOP_WAIT));
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "out\nerr\n");
    }

    #[test]
    fn a_dropped_child_is_asked_to_end() {
        let (child, dir) = spawn("trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done");
        let log = dir.path().join("log");
        wait_until(STOP_WAIT, || std::fs::read_to_string(&log).unwrap() == "up\n");
        let pid = child.pid();
        drop(child);
        assert_eq!(process_state(pid), None);
        assert_eq!(std::fs::read_to_string(log).unwrap(), "up\nasked\n");
    }

    #[test]
    fn a_frozen_child_stands_still_goes_on_and_can_be_killed() {
        let (mut child, _dir) = spawn("while :; do sleep 0.05; done");
        child.signal(Signal::Stop);
        wait_until(STOP_WAIT, || process_state(child.pid()) == Some('T'));
        assert_eq!(process_state(child.pid()), Some('T'));
        child.signal(Signal::Continue);
        wait_until(STOP_WAIT, || process_state(child.pid()) != Some('T'));
        assert_ne!(process_state(child.pid()), Some('T'));
        assert!(child.is_running());
        child.signal(Signal::Kill);
        assert!(!child.is_running());
    }

    #[test]
    fn the_child_dies_with_a_parent_that_is_killed() {
        // The parent here is another shell that holds the pipe and is then killed with SIGKILL.
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let parent = "sleep 60 | /bin/sh -c \"$1\" supervisor \"$2\" /bin/sleep 61 & \
                      wait";
        let mut parent = Command::new("/bin/sh")
            .args(["-c", parent, "parent", SCRIPT])
            .arg(&log)
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid: u32 = line.trim().parse().unwrap();
        // It is a copy of the shell until it has become the command.
        wait_until(STOP_WAIT, || is_process_of(pid, "61"));
        assert!(is_process_of(pid, "61"));
        // `sleep 60` holds the writing end of the pipe: its death is the parent's death to the supervisor.
        let kill = "for p in $(cat /proc/\"$1\"/task/*/children); do \
                    if grep -q '^sleep' /proc/$p/comm; then kill -s KILL $p; fi; done";
        Command::new("/bin/sh").args(["-c", kill, "sh", &parent.id().to_string()]).status().unwrap();
        wait_until(STOP_WAIT, || process_state(pid).is_none());
        assert_eq!(process_state(pid), None);
        parent.wait().unwrap();
    }
}
