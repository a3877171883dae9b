//! How much memory the agent takes: a minute after a restart, with one watcher.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;

use crate::lab::Lab;
use crate::sample::Sample;
use crate::table::Row;
use crate::tell;

const ROUNDS: usize = 2;
/// How long the agent is left alone with its watcher.
const IDLE: Duration = Duration::from_secs(60);
/// In MiB.
const TARGET: f64 = 12.0;
const HOSTS: [(&str, &str); 2] = [("idp", "tsidp"), ("omni", "omni")];

/// What `smaps` says of a process, in KiB by what is mapped.
type Mapped = BTreeMap<String, u64>;

/// Both hosts at once.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let mut sizes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut profiles: BTreeMap<&str, Mapped> = BTreeMap::new();
    for round in 1..=ROUNDS {
        for (host, _) in HOSTS {
            lab.script(
                host,
                "systemctl reset-failed omni-scale-agent; systemctl restart omni-scale-agent",
            )
            .await?;
        }
        // It ends by itself: what runs on a host outlives the shell that started it.
        let watch = ["timeout", "70", "omni-scale", "status", "--watch"];
        let mut watcher = lab.start("op", &watch)?;
        tokio::time::sleep(IDLE).await;
        for (host, role) in HOSTS {
            let smaps = lab
                .script(
                    host,
                    "cat /proc/$(systemctl show -P MainPID omni-scale-agent)/smaps",
                )
                .await?;
            let mapped = resident(&smaps);
            let whole = mib(mapped.values().sum());
            tell(&format!(
                "  round {round}: {role}: {whole:.1} MiB: {mapped:?}"
            ));
            sizes.entry(role).or_default().push(whole);
            profiles.insert(role, mapped);
        }
        watcher.wait().await.context("the watcher")?;
    }
    HOSTS
        .iter()
        .map(|(_, role)| {
            let sample = Sample::new(sizes.remove(role).unwrap_or_default())
                .context("there was no round")?;
            let profile = profiles.remove(role).unwrap_or_default();
            Ok(Row {
                what: format!(
                    "agent's VmRSS, role `{role}`, {} s idle, one watcher",
                    IDLE.as_secs()
                ),
                target: "≤ 12 MiB",
                measured: format!("{} MiB; {}", sample.spread(1), described(&profile)),
                met: Some(sample.median() <= TARGET),
            })
        })
        .collect()
}

/// Resident KiB by kind of mapping.
fn resident(smaps: &str) -> Mapped {
    let mut mapped = Mapped::new();
    let mut kind = String::new();
    for line in smaps.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [field, size, "kB"] if *field == "Rss:" => {
                *mapped.entry(kind.clone()).or_default() += size.parse().unwrap_or(0);
            }
            // ADDRESSES PERMISSIONS OFFSET DEVICE INODE [PATH]
            [addresses, permissions, _, _, _, path @ ..] if addresses.contains('-') => {
                kind = of_what(permissions, path.first().copied().unwrap_or_default());
            }
            _ => {}
        }
    }
    mapped
}

fn of_what(permissions: &str, path: &str) -> String {
    if !path.starts_with('/') {
        "heap and stacks"
    } else if !path.contains("omni-scale-agent") {
        "C library"
    } else if permissions.contains('x') {
        "code"
    } else {
        "constants"
    }
    .to_owned()
}

fn described(mapped: &Mapped) -> String {
    let parts: Vec<String> = mapped
        .iter()
        .map(|(kind, size)| format!("{kind} {:.1}", mib(*size)))
        .collect();
    parts.join(", ")
}

fn mib(kib: u64) -> f64 {
    // A process has less than 2³² KiB.
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_summed_by_kind() {
        let smaps = "\
55d0c0000000-55d0c0100000 r--p 00000000 fe:00 12 /usr/bin/omni-scale-agent
Size:               1024 kB
Rss:                 100 kB
55d0c0100000-55d0c0200000 r-xp 00100000 fe:00 12 /usr/bin/omni-scale-agent
Rss:                2048 kB
7f0000000000-7f0000010000 rw-p 00000000 00:00 0 [heap]
Rss:                   4 kB
7f0000020000-7f0000030000 rw-p 00000000 00:00 0
Rss:                   8 kB
VmFlags: rd wr mr mw me ac sd
7f0000040000-7f0000050000 r-xp 00000000 fe:00 14 /usr/lib/x86_64-linux-gnu/libc.so.6
Rss:                  16 kB
";
        let mapped = resident(smaps);
        assert_eq!(
            described(&mapped),
            "C library 0.0, code 2.0, constants 0.1, heap and stacks 0.0"
        );
        assert_eq!(mapped["heap and stacks"], 12);
    }
}
