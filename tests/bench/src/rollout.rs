//! How long a rollout takes beside its parts: pulling images, creating containers, starting them, and the time for which
//! its gates want answers to hold.
//!
//! The stack's containers and images are removed (its volumes stay), then `apply` brings all of it up again. Each part
//! is measured by itself with Docker's own client on the same host, in the same round.

use anyhow::{Context as _, ensure};

use crate::lab::{Lab, number, timed};
use crate::sample::Sample;
use crate::table::Row;
use crate::tell;

const ROUNDS: usize = 3;
/// How much longer than the sum of its parts.
const TARGET: f64 = 0.05;
/// `OMNI_HOLD_SECONDS` and `PROVIDER_HOLD_SECONDS` of the coordinator's `plan::build::gates`.
const HOLDS: f64 = 10.0 + 5.0;

const CONTAINERS: &str = "docker ps -aq --filter label=com.docker.compose.project=omni";
/// Label of containers that are only created to see how long that takes.
const MARK: &str = "omni-scale-bench";
const SIDECAR: &str = "omni-omni-tailscale-1";
const OMNI: &str = "omni-omni-1";
const PROVIDER: &str = "omni-proxmox-provider-1";

/// One rollout and what it consists of, in seconds.
#[derive(Debug, Clone, Copy)]
struct Round {
    rollout: f64,
    pull: f64,
    create: f64,
    start: f64,
}

impl Round {
    fn parts(self) -> f64 {
        self.pull + self.create + self.start + HOLDS
    }
}

/// The rollout of the whole stack on `omni`.
pub(crate) async fn measure(lab: &Lab) -> anyhow::Result<Vec<Row>> {
    let images = lab
        .script(
            "omni",
            &format!(
                "{CONTAINERS} | xargs docker inspect -f '{{{{.Image}}}} {{{{.Config.Image}}}}'"
            ),
        )
        .await?;
    let images: Vec<(&str, &str)> = images
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    ensure!(
        images.len() == 3,
        "the stack is not there as a whole: {images:?}"
    );
    let mut rounds = Vec::new();
    for number in 1..=ROUNDS {
        let round = round(lab, &images).await?;
        tell(&format!("  round {number}: {round:.2?}"));
        rounds.push(round);
    }
    let all = |of: &dyn Fn(Round) -> f64| {
        Sample::new(rounds.iter().map(|round| of(*round))).context("there was no round")
    };
    let over = all(&|round| round.rollout / round.parts() - 1.0)?;
    Ok(vec![Row {
        what: format!(
            "rollout of the stack beside pull + create + start + holds of its gates, {ROUNDS} times"
        ),
        target: "≤ 5 % over",
        measured: format!(
            "{:+.0} %: {} s beside {} s (pull {:.1}, create {:.1}, start {:.1}, holds {HOLDS:.0})",
            over.median() * 100.0,
            all(&|round| round.rollout)?.spread(1),
            all(&|round| round.parts())?.spread(1),
            all(&|round| round.pull)?.median(),
            all(&|round| round.create)?.median(),
            all(&|round| round.start)?.median(),
        ),
        met: Some(over.median() <= TARGET),
    }])
}

async fn round(lab: &Lab, images: &[(&str, &str)]) -> anyhow::Result<Round> {
    let ids: Vec<&str> = images.iter().map(|(id, _)| *id).collect();
    let names: Vec<&str> = images.iter().map(|(_, name)| *name).collect();
    let remove_images = format!("docker rmi -f {} >/dev/null", ids.join(" "));
    lab.script(
        "omni",
        &format!("{CONTAINERS} | xargs docker rm -f >/dev/null; {remove_images}"),
    )
    .await?;
    let pulls: Vec<String> = names
        .iter()
        .map(|name| format!("docker pull {name}"))
        .collect();
    let pull = number(&lab.script("omni", &timed(&pulls.join("; "))).await?)?;
    lab.script("omni", &remove_images).await?;
    let rollout = number(&lab.script("op", &timed("omni-scale apply --yes")).await?)?;
    let start = number(&lab.script("omni", &starts()).await?)?;
    let create = number(&lab.script("omni", &creations(&names)).await?)?;
    Ok(Round {
        rollout,
        pull,
        create,
        start,
    })
}

/// A container of each image, with nothing that a deployment gives it.
fn creations(images: &[&str]) -> String {
    let create: Vec<String> = images
        .iter()
        .map(|image| format!("docker create --label {MARK} {image}"))
        .collect();
    format!(
        "{}; docker ps -aq --filter label={MARK} | xargs docker rm >/dev/null",
        timed(&create.join("; "))
    )
}

/// Each container by itself, in the order of the waves, until it is what its gate wants before it holds.
fn starts() -> String {
    let healthy =
        format!("[ $(docker inspect -f '{{{{.State.Health.Status}}}}' {SIDECAR}) = healthy ]");
    let serves = format!(
        "[ $(nsenter -t $(docker inspect -f '{{{{.State.Pid}}}}' {SIDECAR}) -n \
         curl -s -o /dev/null -w '%{{http_code}}' http://127.0.0.1:8080/healthz) = 200 ]"
    );
    let until = |question: &str| format!("until {question}; do sleep 0.05; done");
    format!(
        "docker stop -t 5 {PROVIDER} {OMNI} {SIDECAR} >/dev/null; {}",
        timed(&format!(
            "docker start {SIDECAR}; {}; docker start {OMNI}; {}; docker start {PROVIDER}",
            until(&healthy),
            until(&serves),
        ))
    )
}
