//! A file system with a few small files in one directory, as a CD-ROM holds it (ECMA-119), with
//! the names that Linux shows (Rock Ridge, RRIP 1991A).
//!
//! Of the two extensions for long lower-case names only this one is written: Linux reads it
//! whatever its kernel was built with, and prefers it wherever there are both. Nothing in the
//! image says when or where it was made.

use zeroize::Zeroizing;

const SECTOR: usize = 2048;
/// The first 16 sectors belong to whoever boots from the disc: nobody does.
const VOLUME_DESCRIPTOR: usize = 16;
const TERMINATOR: usize = 17;
const LITTLE_ENDIAN_PATHS: usize = 18;
const BIG_ENDIAN_PATHS: usize = 19;
const ROOT_DIRECTORY: usize = 20;
const FIRST_FILE: usize = 21;

const PATH_TABLE_LENGTH: u8 = 10;
/// 1 January 1980, midnight UTC, for every entry. A month of 0 is not understood by everybody.
const ENTRY_DATE: [u8; 7] = [80, 1, 1, 0, 0, 0, 0];
/// Year to hundredths as digits, then the offset: all `0` says that there is no date.
const NO_DATE: [u8; 17] = *b"0000000000000000\0";
const DIRECTORY_FLAG: u8 = 2;
/// Where a directory entry's name begins.
const ENTRY_NAME: usize = 33;
/// Readable by root: the files hold secrets.
const FILE_MODE: u32 = 0o100_400;
const DIRECTORY_MODE: u32 = 0o040_500;

/// A file of the image.
pub(super) struct File<'a> {
    /// The name that Linux shows.
    pub(super) name: &'static str,
    /// The one for who knows ISO 9660 only: eight capitals, a dot, `;1`. In ascending order.
    pub(super) short_name: &'static str,
    /// What is in it.
    pub(super) contents: &'a [u8],
}

/// The whole image. Files lie in it in the order that they are given in.
///
/// The directory takes one sector, which holds the names of a dozen files. The bytes are
/// written where they stay, so no copy of them is left behind.
pub(super) fn image(label: &str, files: &[File<'_>]) -> Zeroizing<Vec<u8>> {
    let mut extents = Vec::with_capacity(files.len());
    let mut end = FIRST_FILE;
    for file in files {
        extents.push(end);
        end += sectors(file.contents.len());
    }
    let mut image = Zeroizing::new(vec![0; end * SECTOR]);

    put(&mut image, VOLUME_DESCRIPTOR, &primary_volume(label, end));
    put(&mut image, TERMINATOR, b"\xffCD001\x01");
    let little = u32_of(ROOT_DIRECTORY).to_le_bytes();
    put(&mut image, LITTLE_ENDIAN_PATHS, &path_table(little, [1, 0]));
    let big = u32_of(ROOT_DIRECTORY).to_be_bytes();
    put(&mut image, BIG_ENDIAN_PATHS, &path_table(big, [0, 1]));
    put(&mut image, ROOT_DIRECTORY, &directory(files, &extents));
    for (file, extent) in files.iter().zip(extents) {
        put(&mut image, extent, file.contents);
    }
    image
}

/// An empty file has a sector too, so that it lies somewhere.
fn sectors(length: usize) -> usize {
    length.div_ceil(SECTOR).max(1)
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    let start = sector * SECTOR;
    image[start..start + bytes.len()].copy_from_slice(bytes);
}

fn primary_volume(label: &str, sectors: usize) -> Vec<u8> {
    let mut volume = Vec::with_capacity(SECTOR);
    volume.extend_from_slice(b"\x01CD001\x01\0");
    // The system that may boot from it: none.
    text(&mut volume, "", 32);
    text(&mut volume, label, 32);
    volume.extend_from_slice(&[0; 8]);
    volume.extend_from_slice(&both_endian(u32_of(sectors)));
    volume.extend_from_slice(&[0; 32]);
    // One disc in the set, which is the first, with blocks of a sector.
    volume.extend_from_slice(&[1, 0, 0, 1]);
    volume.extend_from_slice(&[1, 0, 0, 1]);
    volume.extend_from_slice(&[0, 8, 8, 0]);
    volume.extend_from_slice(&both_endian(u32::from(PATH_TABLE_LENGTH)));
    volume.extend_from_slice(&u32_of(LITTLE_ENDIAN_PATHS).to_le_bytes());
    volume.extend_from_slice(&[0; 4]);
    volume.extend_from_slice(&u32_of(BIG_ENDIAN_PATHS).to_be_bytes());
    volume.extend_from_slice(&[0; 4]);
    volume.extend_from_slice(&entry(&[0], ROOT_DIRECTORY, SECTOR, DIRECTORY_FLAG, &[]));
    // Volume set, publisher, preparer and application, then copyright, abstract and bibliography.
    text(&mut volume, "", 4 * 128 + 3 * 37);
    for _ in ["created", "changed", "expires", "effective"] {
        volume.extend_from_slice(&NO_DATE);
    }
    // Version of this structure.
    volume.push(1);
    volume
}

/// The table of directories, with the root alone in it: it is its own parent, number 1.
fn path_table(extent: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    let mut table = vec![1, 0];
    table.extend_from_slice(&extent);
    table.extend_from_slice(&parent);
    table.extend_from_slice(&[0, 0]);
    debug_assert_eq!(table.len(), usize::from(PATH_TABLE_LENGTH));
    table
}

fn directory(files: &[File<'_>], extents: &[usize]) -> Vec<u8> {
    let mut itself = sharing_protocol();
    itself.extend(attributes(DIRECTORY_MODE, 2));
    itself.extend(rock_ridge());
    let parent = attributes(DIRECTORY_MODE, 2);
    let mut directory = entry(&[0], ROOT_DIRECTORY, SECTOR, DIRECTORY_FLAG, &itself);
    directory.extend(entry(&[1], ROOT_DIRECTORY, SECTOR, DIRECTORY_FLAG, &parent));
    for (file, extent) in files.iter().zip(extents) {
        let mut system_use = attributes(FILE_MODE, 1);
        system_use.extend(name(file.name));
        let short_name = file.short_name.as_bytes();
        let length = file.contents.len();
        directory.extend(entry(short_name, *extent, length, 0, &system_use));
    }
    directory
}

/// One directory entry. `system_use` is what Rock Ridge adds to it.
fn entry(name: &[u8], extent: usize, length: usize, flags: u8, system_use: &[u8]) -> Vec<u8> {
    let padding = usize::from(name.len().is_multiple_of(2));
    let total = ENTRY_NAME + name.len() + padding + system_use.len();
    let mut entry = Vec::with_capacity(total + 1);
    // Of even length; the second byte would be the length of attributes that nobody has.
    entry.extend_from_slice(&[u8_of(total.next_multiple_of(2)), 0]);
    entry.extend_from_slice(&both_endian(u32_of(extent)));
    entry.extend_from_slice(&both_endian(u32_of(length)));
    entry.extend_from_slice(&ENTRY_DATE);
    // Not interleaved, and on disc 1.
    entry.extend_from_slice(&[flags, 0, 0, 1, 0, 0, 1]);
    entry.push(u8_of(name.len()));
    entry.extend_from_slice(name);
    entry.resize(ENTRY_NAME + name.len() + padding, 0);
    entry.extend_from_slice(system_use);
    entry.resize(total.next_multiple_of(2), 0);
    entry
}

/// `SP`: system use fields follow everywhere, from their first byte.
fn sharing_protocol() -> Vec<u8> {
    b"SP\x07\x01\xbe\xef\0".to_vec()
}

/// `ER`: those fields are Rock Ridge's. Its description, which nobody reads, is left out.
fn rock_ridge() -> Vec<u8> {
    const EXTENSION: &[u8] = b"RRIP_1991A";
    let mut field = b"ER".to_vec();
    field.extend_from_slice(&[u8_of(8 + EXTENSION.len()), 1]);
    field.extend_from_slice(&[u8_of(EXTENSION.len()), 0, 0, 1]);
    field.extend_from_slice(EXTENSION);
    field
}

/// `PX`: mode and links; user and group are root.
fn attributes(mode: u32, links: u32) -> Vec<u8> {
    let mut field = b"PX\x24\x01".to_vec();
    for number in [mode, links, 0, 0] {
        field.extend_from_slice(&both_endian(number));
    }
    field
}

/// `NM`: the name.
fn name(name: &str) -> Vec<u8> {
    let mut field = b"NM".to_vec();
    field.extend_from_slice(&[u8_of(5 + name.len()), 1, 0]);
    field.extend_from_slice(name.as_bytes());
    field
}

/// Text, filled up with spaces.
fn text(bytes: &mut Vec<u8>, text: &str, length: usize) {
    let end = bytes.len() + length;
    bytes.extend_from_slice(text.as_bytes());
    bytes.resize(end, b' ');
}

/// A number twice, as both kinds of machine read it.
fn both_endian(number: u32) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn u32_of(number: usize) -> u32 {
    u32::try_from(number).expect("contents are bounded far below 4 GiB")
}

fn u8_of(number: usize) -> u8 {
    u8::try_from(number).expect("names are ours and short")
}
