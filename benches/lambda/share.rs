//! Limits the CPU of a process to the share that Lambda grants for an amount of memory.

use std::{fs, path::PathBuf};

/// The memory at which Lambda grants one CPU.
///
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>
pub(crate) const ONE_CPU: u64 = 1_769;

/// The period of the CPU share in microseconds. A process gets the limit at the beginning of the next one.
pub(crate) const PERIOD: u64 = 20_000;

/// A cgroup with the CPU share of an amount of memory.
pub(crate) struct Share {
    folder: PathBuf,
}

impl Share {
    /// Creates the group for this many megabytes. Returns `None` if this machine does not allow it.
    pub(crate) fn of(memory: u64) -> Option<Self> {
        let quota = (PERIOD * memory / ONE_CPU).to_string();
        let name = format!("invalidator-bench-{}-{memory}", std::process::id());
        let one = PathBuf::from("/sys/fs/cgroup/cpu").join(&name);
        let two = PathBuf::from("/sys/fs/cgroup").join(&name);
        let old = fs::create_dir(&one).is_ok()
            && fs::write(one.join("cpu.cfs_period_us"), PERIOD.to_string()).is_ok()
            && fs::write(one.join("cpu.cfs_quota_us"), &quota).is_ok();
        if old {
            return Some(Self { folder: one });
        }
        let unified = PathBuf::from("/sys/fs/cgroup/cgroup.controllers").is_file();
        let new = unified
            && fs::create_dir(&two).is_ok()
            && fs::write(two.join("cpu.max"), format!("{quota} {PERIOD}")).is_ok();
        new.then_some(Self { folder: two })
    }

    /// Puts a process into the group.
    pub(crate) fn add(&self, process: u32) {
        fs::write(self.folder.join("cgroup.procs"), process.to_string()).expect("a process in the group");
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}
