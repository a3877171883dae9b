//! The image's structure, read back by this file's own reader. `tests/nocloud.rs` asks others.

use omni_scale_proto::v1;

use super::*;

const SECTOR: usize = 2048;
const UUID: &str = "2f6a8c80-6bd4-5c8f-9d52-8f7f4b1a0c11";
const USER_DATA: &[u8] = b"#cloud-config\nssh_pwauth: false\n";

fn machine(name: &str) -> MachineIdentity {
    let wire = v1::MachineIdentity {
        name: name.to_owned(),
        uuid: UUID.to_owned(),
    };
    wire.try_into().unwrap()
}

fn image(user_data: &[u8], network_configuration: Option<&str>) -> Zeroizing<Vec<u8>> {
    let first_boot = FirstBoot {
        machine: &machine("idp"),
        user_data,
        network_configuration,
    };
    first_boot.image().unwrap()
}

fn number(bytes: &[u8]) -> usize {
    let little = u32::from_le_bytes(bytes[..4].try_into().unwrap());
    assert_eq!(little.to_be_bytes(), bytes[4..8], "both ends say the same");
    little as usize
}

fn field(system_use: &[u8], signature: [u8; 2]) -> Option<&[u8]> {
    let mut rest = system_use;
    while rest.len() >= 4 {
        let (field, after) = rest.split_at(usize::from(rest[2]));
        if field.starts_with(&signature) {
            return Some(&field[4..]);
        }
        rest = after;
    }
    None
}

/// Name, mode and contents of each file, found from the volume descriptor on.
fn files(image: &[u8]) -> Vec<(String, usize, &[u8])> {
    let volume = &image[16 * SECTOR..17 * SECTOR];
    assert_eq!(number(&volume[80..]) * SECTOR, image.len());
    let root = number(&volume[158..]) * SECTOR;
    let mut rest = &image[root..root + number(&volume[166..])];
    let mut files = Vec::new();
    while rest[0] != 0 {
        let (entry, after) = rest.split_at(usize::from(rest[0]));
        rest = after;
        let name_end = 33 + usize::from(entry[32]);
        let system_use = &entry[name_end.next_multiple_of(2)..];
        let Some(name) = field(system_use, *b"NM") else {
            continue;
        };
        let mode = number(field(system_use, *b"PX").unwrap());
        let start = number(&entry[2..]) * SECTOR;
        let contents = &image[start..start + number(&entry[10..])];
        files.push((
            String::from_utf8(name[1..].to_vec()).unwrap(),
            mode,
            contents,
        ));
    }
    files
}

#[test]
fn it_is_a_labelled_volume_with_a_terminator() {
    let image = image(USER_DATA, None);
    assert!(image[..16 * SECTOR].iter().all(|byte| *byte == 0));
    assert_eq!(&image[16 * SECTOR..16 * SECTOR + 7], b"\x01CD001\x01");
    assert_eq!(
        &image[16 * SECTOR + 40..16 * SECTOR + 72],
        format!("{VOLUME_LABEL:32}").as_bytes()
    );
    assert_eq!(&image[17 * SECTOR..17 * SECTOR + 7], b"\xffCD001\x01");
}

#[test]
fn cloud_init_finds_its_files_by_their_names() {
    let image = image(USER_DATA, Some("version: 2\n"));
    let meta_data = format!("instance-id: \"{UUID}\"\nlocal-hostname: \"idp\"\n");
    assert_eq!(
        files(&image),
        [
            ("meta-data".to_owned(), 0o100_400, meta_data.as_bytes()),
            ("network-config".to_owned(), 0o100_400, &b"version: 2\n"[..]),
            ("user-data".to_owned(), 0o100_400, USER_DATA),
        ]
    );
}

#[test]
fn without_a_network_configuration_there_is_no_such_file() {
    let names: Vec<_> = files(&image(USER_DATA, None))
        .into_iter()
        .map(|(name, ..)| name)
        .collect();
    assert_eq!(names, ["meta-data", "user-data"]);
}

#[test]
fn files_of_any_length_come_back_whole() {
    for length in [0, 1, SECTOR - 1, SECTOR, SECTOR + 1, 100_000, LIMIT] {
        let user_data = vec![b'x'; length];
        let image = image(&user_data, Some("version: 1\n"));
        assert_eq!(image.len() % SECTOR, 0);
        assert_eq!(files(&image)[2].2, user_data, "{length} bytes");
        assert_eq!(files(&image)[1].2, b"version: 1\n");
    }
}

#[test]
fn the_same_data_gives_the_same_bytes() {
    assert_eq!(image(USER_DATA, None), image(USER_DATA, None));
    assert_ne!(image(USER_DATA, None), image(b"#cloud-config\n", None));
}

#[test]
fn what_is_too_large_is_refused_by_name() {
    let machine = machine("idp");
    let large = "x".repeat(LIMIT + 1);
    let first_boot = FirstBoot {
        machine: &machine,
        user_data: large.as_bytes(),
        network_configuration: None,
    };
    assert_eq!(
        first_boot.image().unwrap_err().to_string(),
        "`user-data` has 1048577 bytes, and first-boot data may have 1048576"
    );
    let first_boot = FirstBoot {
        user_data: USER_DATA,
        network_configuration: Some(&large),
        ..first_boot
    };
    assert_eq!(first_boot.image().unwrap_err().file, "network-config");
}
