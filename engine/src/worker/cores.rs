//! How many workers, and on which CPUs.
//!
//! As many as the process may use: the CPUs it is allowed, cut to its cgroup's
//! quota, since workers beyond the quota would only take turns being throttled.

use crate::options::Workers;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

/// The CPU of each worker; none where it is not known which there are.
pub(crate) fn plan(workers: &Workers) -> Vec<Option<usize>> {
    let allowed = allowed();
    let cores = workers.cores.clone().filter(|cores| !cores.is_empty()).unwrap_or(allowed);
    let known = if cores.is_empty() {
        std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
    } else {
        cores.len()
    };
    let quota = quota(Path::new("/"));
    let count = workers.count.unwrap_or_else(|| within(known, quota)).max(1);
    (0..count).map(|worker| cores.iter().cycle().nth(worker % known).copied()).collect()
}

/// As many whole workers as the quota has use for.
fn within(cpus: usize, quota: Option<f64>) -> usize {
    // A quota above the number of CPUs limits nothing; the cast saturates.
    quota.map_or(cpus, |quota| cpus.min(quota.ceil().max(1.0) as usize))
}

/// Pins the calling thread. Containers may refuse it: the error is for the log.
pub(super) fn pin(core: usize) -> rustix::io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(rustix::io::Errno::INVAL);
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).ok();
    set.map(|set| (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect())
        .unwrap_or_default()
}

/// CPUs the cgroup may use, by its own limit or one above it. `root` is `/`.
fn quota(root: &Path) -> Option<f64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let quotas = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let cgroup = root.join("sys/fs/cgroup");
        match controllers {
            "" => lowest(&cgroup, path, quota_v2),
            _ if controllers.split(',').any(|name| name == "cpu") => {
                let mounted = [controllers, "cpu"].map(|name| cgroup.join(name));
                mounted.iter().find_map(|mount| lowest(mount, path, quota_v1))
            }
            _ => None,
        }
    });
    quotas.reduce(f64::min)
}

/// The lowest of the quotas from `path` up to the mount.
fn lowest(mount: &Path, path: &str, read: fn(&Path) -> Option<f64>) -> Option<f64> {
    let inner = PathBuf::from(path.trim_start_matches('/'));
    let quotas = inner.ancestors().filter_map(|group| read(&mount.join(group)));
    quotas.reduce(f64::min)
}

/// `max 100000` or `150000 100000`: microseconds of CPU per period.
fn quota_v2(group: &Path) -> Option<f64> {
    let text = fs::read_to_string(group.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    ratio(quota, period)
}

fn quota_v1(group: &Path) -> Option<f64> {
    let read = |name| fs::read_to_string(group.join(name)).ok();
    ratio(read("cpu.cfs_quota_us")?.trim(), read("cpu.cfs_period_us")?.trim())
}

/// None for `max` and for -1, which both mean no limit.
fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quota_rounds_up_and_never_adds_workers() {
        for (cpus, quota, expected) in [
            (8, None, 8),
            (8, Some(1.5), 2),
            (8, Some(0.2), 1),
            (2, Some(4.0), 2),
            (4, Some(3.0), 3),
        ] {
            assert_eq!(within(cpus, quota), expected, "{cpus} {quota:?}");
        }
    }

    #[test]
    fn a_group_is_bound_by_the_groups_above_it() {
        let root = std::env::temp_dir().join(format!("cgroup-{}", uuid::Uuid::new_v4()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/a/b\n");
        write("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
        write("sys/fs/cgroup/a/cpu.max", "150000 100000\n");
        assert_eq!(quota(&root), Some(1.5));

        write("proc/self/cgroup", "5:cpu,cpuacct:/c\n1:name=systemd:/\n");
        write("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "300000\n");
        write("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_period_us", "100000\n");
        assert_eq!(quota(&root), Some(3.0));

        write("sys/fs/cgroup/cpu,cpuacct/c/cpu.cfs_quota_us", "-1\n");
        assert_eq!(quota(&root), None);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn workers_go_round_the_cores_they_are_given() {
        let plan = plan(&Workers { count: Some(3), cores: Some(vec![5, 2]) });
        assert_eq!(plan, [Some(5), Some(2), Some(5)]);
    }
}
