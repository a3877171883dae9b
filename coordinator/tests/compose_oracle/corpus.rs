//! The corpus: stacks as people have them. Each directory is one, with all its files; a file
//! `profiles`, if there is one, names the profiles that are wanted.

use std::path::{Path, PathBuf};

use omni_scale::compose::dotenv;
use omni_scale::deployment::{self, Disk};
use omni_scale::render;

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

#[test]
fn docker_compose_accepts_the_ejected_stack() {
    let deployment = include_str!("../../src/deployment/fixtures/full.yaml")
        .replace("extra_roots: [roots.pem]", "extra_roots: []");
    let deployment = deployment::read(&Disk, Path::new("deployment.yaml"), &deployment).unwrap();
    let ejected = render::eject(&deployment).unwrap();
    // Whoever runs it with Docker Compose alone puts values where the placeholders are.
    let variables: String = ejected
        .variables
        .lines()
        .map(|line| match line.split_once("='{{") {
            Some((name, _)) => format!("{name}='\"value of\n{name}\"'\n"),
            None => format!("{line}\n"),
        })
        .collect::<Vec<_>>()
        .concat();
    let directory = tempfile::tempdir().unwrap();
    oracle::write(directory.path(), "compose.yaml", &ejected.compose);
    oracle::write(directory.path(), ".env", &variables);
    let ours = canonical::ours(directory.path(), &[]);
    let theirs = oracle::read(directory.path(), &[])
        .map(|project| canonical::theirs(&project, &|name| name.to_owned()));
    let different = canonical::differences(&ours, &theirs);
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert!(ours.is_ok());
}
