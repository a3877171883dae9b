//! First-boot images before a reader that is none of ours: `bsdtar` (Debian's libarchive-tools)
//! and the label as `blkid` (util-linux) sees it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use omni_scale_agent::nocloud::FirstBoot;
use omni_scale_proto::machine::MachineIdentity;
use omni_scale_proto::v1;

const UUID: &str = "2f6a8c80-6bd4-5c8f-9d52-8f7f4b1a0c11";
const NETWORK: &str = "version: 2\n";

#[expect(clippy::disallowed_methods, reason = "the readers are programs")]
fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("cannot run `{program}`: {error}"))
}

fn write(directory: &Path, user_data: &[u8]) -> String {
    let wire = v1::MachineIdentity {
        name: "idp".to_owned(),
        uuid: UUID.to_owned(),
    };
    let machine = MachineIdentity::try_from(wire).expect("a machine's identity");
    let first_boot = FirstBoot {
        machine: &machine,
        user_data,
        network_configuration: Some(NETWORK),
    };
    let path = directory.join("seed.iso");
    #[expect(clippy::disallowed_methods, reason = "a file of the test")]
    fs::write(&path, first_boot.image().expect("short data")).expect("a temporary file");
    path.display().to_string()
}

#[test]
fn bsdtar_reads_the_files_as_they_were_meant() {
    for length in [0, 2047, 2048, 2049, 300_000] {
        let directory = tempfile::tempdir().unwrap();
        let user_data = vec![b'#'; length];
        let image = write(directory.path(), &user_data);
        let seed = directory.path().join("seed");
        fs::create_dir(&seed).unwrap();
        let extracted = run("bsdtar", &["-xpf", &image, "-C", seed.to_str().unwrap()]);
        assert!(extracted.status.success(), "{extracted:?}");
        assert!(extracted.stderr.is_empty(), "{extracted:?}");
        let mut names: Vec<_> = fs::read_dir(&seed)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["meta-data", "network-config", "user-data"]);
        assert_eq!(fs::read(seed.join("user-data")).unwrap(), user_data);
        let network = fs::read_to_string(seed.join("network-config"));
        assert_eq!(network.unwrap(), NETWORK);
        let mode = seed.join("user-data").metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o7777, 0o400);
    }
}

#[test]
fn blkid_sees_the_label_that_cloud_init_looks_for() {
    let directory = tempfile::tempdir().unwrap();
    let image = write(directory.path(), b"#cloud-config\n");
    let seen = run("/sbin/blkid", &["-p", "-o", "export", &image]);
    let seen = String::from_utf8(seen.stdout).unwrap();
    assert!(seen.contains("\nLABEL=cidata\n"), "{seen}");
    assert!(seen.contains("\nTYPE=iso9660\n"), "{seen}");
}
