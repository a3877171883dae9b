//! The corpus: stacks as people have them. Each directory is one, with all its files; a file
//! `profiles`, if there is one, names the profiles that are wanted.

use std::path::PathBuf;

use omni_scale::compose::dotenv;

use crate::{canonical, oracle};

#[test]
fn both_readings_of_each_stack_are_the_same() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut directories: Vec<PathBuf> = std::fs::read_dir(&corpus)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("compose.yaml").is_file())
        .collect();
    directories.sort();
    assert!(
        directories.len() >= 8,
        "the corpus is in {}",
        corpus.display()
    );
    let mut different = Vec::new();
    for directory in directories {
        let name = directory
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let profiles = std::fs::read_to_string(directory.join("profiles")).unwrap_or_default();
        let profiles: Vec<&str> = profiles.split_whitespace().collect();
        let environment = std::fs::read_to_string(directory.join(".env")).unwrap_or_default();
        let environment = dotenv::parse(".env", &environment, &|_| None).unwrap();
        let ours = canonical::ours(&directory, &profiles);
        let theirs = oracle::read(&directory, &profiles)
            .map(|project| canonical::theirs(&project, &|name| environment[name].clone()));
        for difference in canonical::differences(&ours, &theirs) {
            different.push(format!("{name}: {difference}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}
