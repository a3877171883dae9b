//! How the program ends. Scripts build on these numbers; `docs/exit-codes.md` repeats them and
//! a test holds the two together.

use std::process::ExitCode;

/// The outcome of one command, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Everything that was asked for is done, or was so already.
    Done = 0,
    /// Something failed that none of the other codes names; nothing is half done.
    Failed = 1,
    /// The command line, the deployment file or the credentials are not usable.
    Usage = 2,
    /// A check did not pass; nothing was changed.
    ChecksFailed = 3,
    /// The rollout stands still in a known state; `omni-scale resume` goes on.
    Held = 4,
    /// The rollout failed and what it had changed is as before.
    Undone = 5,
    /// The rollout failed, and so did taking it back: a person must look.
    Stuck = 6,
    /// Somebody else holds the lease.
    Locked = 7,
    /// A host that was needed does not answer, or cannot tell what came of an operation.
    Unreachable = 8,
}

impl Exit {
    /// Every code, in the order of its number.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::ChecksFailed,
        Self::Held,
        Self::Undone,
        Self::Stuck,
        Self::Locked,
        Self::Unreachable,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Failed => "failed; nothing is half done",
            Self::Usage => "wrong usage: command line, deployment file or credentials",
            Self::ChecksFailed => "a check did not pass; nothing was changed",
            Self::Held => "held in a known state; `omni-scale resume` goes on",
            Self::Undone => "failed and taken back",
            Self::Stuck => "failed, and taking it back failed too: look at the hosts",
            Self::Locked => "somebody else holds the lease",
            Self::Unreachable => "a host that was needed does not answer",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_says_what_the_code_says() {
        let page = include_str!("../../docs/exit-codes.md");
        for exit in Exit::ALL {
            let row = format!("| {} | {} |", exit.code(), exit.meaning());
            assert!(page.contains(&row), "docs/exit-codes.md lacks `{row}`");
        }
        assert_eq!(page.matches("\n| ").count(), Exit::ALL.len() + 2);
    }
}
