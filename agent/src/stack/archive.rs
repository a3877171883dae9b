//! Files for a container, as the tar archive that the Engine unpacks at `/` before the start.
//!
//! Only the files stand in it: missing directories are made by the Engine (root's, 0755), and a
//! directory that is there keeps its owner and mode.

use std::io::{self, Write as _};

use crate::secrets::SecretValue;

/// A file to put into a container.
#[derive(Debug, Clone)]
pub struct PreparedFile {
    /// Absolute path in the container.
    pub path: String,
    /// What is in it.
    pub content: SecretValue,
    /// Permission bits.
    pub mode: u32,
    /// Whose it is.
    pub owner: Owner,
}

/// A user and a group by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub user: u32,
    /// Group id.
    pub group: u32,
}

/// A user that the image does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the image has no user or group `{name}`")]
pub struct UnknownUser {
    /// What was looked for.
    pub name: String,
}

/// The archive. Fails only for a path that no tar can hold.
pub fn archive(files: &[PreparedFile]) -> io::Result<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let content = file.content.expose();
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.owner.user.into());
        header.set_gid(file.owner.group.into());
        header.set_mtime(0);
        builder.append_data(&mut header, file.path.trim_start_matches('/'), content)?;
    }
    let mut archive = builder.into_inner()?;
    archive.flush()?;
    Ok(archive)
}

/// Whether the image's own files must be read to know who `user` is.
pub fn is_numeric(user: &str) -> bool {
    let (user, group) = split(user);
    user.is_empty()
        || (user.parse::<u32>().is_ok() && group.is_some_and(|g| g.parse::<u32>().is_ok()))
}

/// Who `user` (`uid`, `uid:gid`, names, or empty for root) is, in an image with these contents of
/// `/etc/passwd` and `/etc/group`. An image without them has only numbers; then a user without a
/// group has group 0, as the Engine does it.
pub fn owner(user: &str, passwd: &str, groups: &str) -> Result<Owner, UnknownUser> {
    let (user, group) = split(user);
    if user.is_empty() {
        return Ok(Owner::default());
    }
    let entry = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?;
        let group = fields.next()?;
        (name == user || number == user).then_some((number, group))
    });
    let unknown = |name: &str| UnknownUser {
        name: name.to_owned(),
    };
    let number = user
        .parse()
        .ok()
        .or_else(|| entry.and_then(|(number, _)| number.parse().ok()))
        .ok_or_else(|| unknown(user))?;
    let group = match group {
        None => entry
            .and_then(|(_, group)| group.parse().ok())
            .unwrap_or_default(),
        Some(group) => group
            .parse()
            .ok()
            .or_else(|| group_number(group, groups))
            .ok_or_else(|| unknown(group))?,
    };
    Ok(Owner {
        user: number,
        group,
    })
}

fn group_number(name: &str, groups: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
    })
}

fn split(user: &str) -> (&str, Option<&str>) {
    match user.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (user, None),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use omni_scale_noise::{Dice, damaged_text, hold_against, thrown};

    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nomni:x:1000:1001::/:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nkeys:x:77:omni\n";

    #[test]
    fn noise_in_an_image_breaks_nothing() {
        let pieces = [
            "",
            ":",
            "::",
            "\n",
            "0",
            "-1",
            "4294967296",
            "root",
            "omni",
            "x",
            "ü",
            "\u{0}",
        ];
        let make = |dice: &mut Dice| {
            (
                thrown(dice, &pieces),
                damaged_text(dice, PASSWD, &pieces),
                damaged_text(dice, GROUPS, &pieces),
            )
        };
        hold_against("users of images", make, |(user, passwd, groups)| {
            let found = owner(user, passwd, groups);
            assert!(!is_numeric(user) || found == owner(user, "", ""));
        });
    }

    #[test]
    fn users_are_found_by_number_and_by_name() {
        let found = |user: &str| owner(user, PASSWD, GROUPS).map(|owner| (owner.user, owner.group));
        assert_eq!(found(""), Ok((0, 0)));
        assert_eq!(found("65534"), Ok((65534, 0)));
        assert_eq!(found("1000"), Ok((1000, 1001)));
        assert_eq!(found("5:6"), Ok((5, 6)));
        assert_eq!(found("omni"), Ok((1000, 1001)));
        assert_eq!(found("omni:keys"), Ok((1000, 77)));
        assert_eq!(found("nobody").unwrap_err().name, "nobody");
        assert_eq!(found("omni:wheel").unwrap_err().name, "wheel");
        assert_eq!(
            owner("1000", "", ""),
            Ok(Owner {
                user: 1000,
                group: 0
            })
        );
    }

    #[test]
    fn an_image_is_only_asked_when_a_number_is_missing() {
        assert!(is_numeric("") && is_numeric("1:2"));
        assert!(!is_numeric("1") && !is_numeric("omni") && !is_numeric("1:keys"));
    }

    #[test]
    fn the_archive_holds_the_files_and_nothing_else() {
        let long = format!("/{}/key", "deep/".repeat(40).trim_end_matches('/'));
        let file = |path: &str| PreparedFile {
            path: path.to_owned(),
            content: SecretValue::new(b"content".to_vec()),
            mode: 0o400,
            owner: Owner {
                user: 70_000,
                group: 3,
            },
        };
        let bytes = archive(&[file("/etc/omni.yaml"), file(&long)]).unwrap();
        let mut read = tar::Archive::new(bytes.as_slice());
        let mut paths = Vec::new();
        for entry in read.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o400);
            assert_eq!(entry.header().uid().unwrap(), 70_000);
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            assert_eq!(content, "content");
            paths.push(format!("/{}", entry.path().unwrap().display()));
        }
        assert_eq!(paths, ["/etc/omni.yaml".to_owned(), long]);
    }
}
