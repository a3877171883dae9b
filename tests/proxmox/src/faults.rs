//! What goes wrong with single requests: told one by one, or drawn from a seed.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::random::Random;
use crate::request::Method;

/// One fault of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The request has its effect, and the connection ends without an answer.
    ReplyLost,
    /// The connection ends before anything happens.
    Reset,
    /// 596 after 30 seconds, with the effect or without it (facts §1.1).
    GatewayTimeout {
        /// Whether the work happened.
        effect: bool,
    },
    /// 595: the proxy finds no way to the node.
    NoRoute,
    /// 500 `can't lock file … - got timeout` after ten seconds, no effect.
    LockTimeout,
    /// The answer comes late.
    Slow {
        /// Milliseconds.
        by: u64,
    },
    /// The worker that the request starts dies after so many milliseconds: `unexpected status`, nothing cleaned up.
    WorkerDies {
        /// Milliseconds after its start.
        after: u64,
    },
    /// 500 `got no worker upid - start worker failed`; a create leaves its stub behind (facts §1.2).
    NoWorker,
}

/// A fault that waits for its request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The method; any by default.
    #[serde(default)]
    pub method: Option<Method>,
    /// The path's template, `/nodes/{node}/qemu`; any by default.
    #[serde(default)]
    pub template: Option<String>,
    /// How many such requests go well before.
    #[serde(default)]
    pub skip: u32,
    /// How many have the fault.
    #[serde(default = "once")]
    pub times: u32,
    /// The fault.
    pub fault: Fault,
}

const fn once() -> u32 {
    1
}

impl Rule {
    /// The next request of that kind has the fault.
    pub fn next(method: Method, template: &str, fault: Fault) -> Self {
        Self {
            method: Some(method),
            template: Some(template.to_owned()),
            skip: 0,
            times: 1,
            fault,
        }
    }
}

/// The faults that are to come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Faults {
    rules: VecDeque<Rule>,
    seeded: Option<Seeded>,
}

/// Faults drawn from a seed, until their number is used up.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seeded {
    random: Random,
    left: u32,
}

impl Faults {
    /// Some faults, chosen by the seed, spread over the first requests; then peace, so that whoever keeps trying
    /// comes to an end.
    pub fn seeded(seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let left = u32::try_from(random.below(10)).unwrap_or(0);
        Self {
            rules: VecDeque::new(),
            seeded: Some(Seeded { random, left }),
        }
    }

    /// One more told fault.
    pub fn add(&mut self, rule: Rule) {
        self.rules.push_back(rule);
    }

    /// The fault of this request, if it has one.
    pub(crate) fn pick(&mut self, method: Method, template: Option<&str>) -> Option<Fault> {
        let fits = |rule: &Rule| {
            rule.method.is_none_or(|wanted| wanted == method)
                && rule
                    .template
                    .as_deref()
                    .is_none_or(|wanted| Some(wanted) == template)
        };
        if let Some(at) = self.rules.iter().position(fits) {
            let rule = self.rules.get_mut(at)?;
            if rule.skip > 0 {
                rule.skip -= 1;
            } else {
                let fault = rule.fault;
                rule.times = rule.times.saturating_sub(1);
                if rule.times == 0 {
                    self.rules.remove(at);
                }
                return Some(fault);
            }
        }
        let seeded = self.seeded.as_mut().filter(|seeded| seeded.left > 0)?;
        // Changes are struck more often: they are what matters, and they are few.
        let fault = if method == Method::Get {
            seeded
                .random
                .chance(30)
                .then(|| match seeded.random.below(4) {
                    0 => Fault::Reset,
                    1 => Fault::GatewayTimeout { effect: false },
                    2 => Fault::NoRoute,
                    _ => Fault::Slow {
                        by: 1 + seeded.random.below(4_000),
                    },
                })
        } else {
            seeded
                .random
                .chance(300)
                .then(|| match seeded.random.below(8) {
                    0 | 1 => Fault::ReplyLost,
                    2 => Fault::Reset,
                    3 => Fault::GatewayTimeout { effect: true },
                    4 => Fault::LockTimeout,
                    5 => Fault::WorkerDies {
                        after: 1 + seeded.random.below(2_000),
                    },
                    6 => Fault::NoWorker,
                    _ => Fault::Slow {
                        by: 1 + seeded.random.below(8_000),
                    },
                })
        }?;
        seeded.left -= 1;
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_for_its_request_and_is_used_up() {
        let mut faults = Faults::default();
        let mut rule = Rule::next(Method::Post, "/nodes/{node}/qemu", Fault::ReplyLost);
        rule.skip = 1;
        faults.add(rule);
        let create = Some("/nodes/{node}/qemu");
        assert_eq!(faults.pick(Method::Get, create), None);
        assert_eq!(faults.pick(Method::Post, create), None);
        assert_eq!(faults.pick(Method::Post, create), Some(Fault::ReplyLost));
        assert_eq!(faults.pick(Method::Post, create), None);
    }

    #[test]
    fn a_seed_gives_the_same_faults_and_then_peace() {
        let drawn = |seed: u64| -> Vec<Option<Fault>> {
            let mut faults = Faults::seeded(seed);
            (0..500).map(|_| faults.pick(Method::Post, None)).collect()
        };
        assert_eq!(drawn(3), drawn(3));
        assert!((0..20).any(|seed| drawn(seed).iter().any(Option::is_some)));
        assert!((0..20).all(|seed| drawn(seed).iter().skip(100).all(Option::is_none)));
    }
}
