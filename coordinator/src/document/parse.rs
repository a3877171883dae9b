//! YAML text → tree.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Options, Parser, ScalarStyle, Span, Tag};

use super::{Content, Entry, Location, Node, Problems, Report, Scalar, ScalarKind};

/// Parts of a document after aliases are copied. A real file has some hundreds; the limit is there
/// because nine nested aliases can ask for a thousand million.
const MAXIMUM_NODES: usize = 100_000;
/// Bytes of a document.
const MAXIMUM_BYTES: usize = 1 << 20;

/// Reads the one YAML document in `text`. `file` is how messages name it.
pub fn parse(file: &str, text: &str) -> Result<Node, Problems> {
    let report = Report::default();
    let tree = Builder::new(file, &report).build(text);
    report.conclude(tree)
}

struct Builder<'r> {
    file: Arc<str>,
    report: &'r Report,
    open: Vec<Collection>,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A sequence or mapping whose end has not come yet.
struct Collection {
    location: Location,
    anchor: usize,
    nodes_before: usize,
    parts: Parts,
}

enum Parts {
    Sequence(Vec<Node>),
    Mapping {
        entries: Vec<Entry>,
        merged: Vec<Node>,
        key: Option<Node>,
    },
}

impl<'r> Builder<'r> {
    fn new(file: &str, report: &'r Report) -> Self {
        Self {
            file: file.into(),
            report,
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn location(&self, marker: &Marker) -> Location {
        Location {
            file: Arc::clone(&self.file),
            line: marker.line().max(1),
            column: marker.col() + 1,
        }
    }

    /// None after a problem that ends reading, which is then in the report.
    fn build(mut self, text: &str) -> Option<Node> {
        let start = Location {
            file: Arc::clone(&self.file),
            line: 1,
            column: 1,
        };
        if text.len() > MAXIMUM_BYTES {
            self.report.add(&start, "the file is larger than 1 MiB");
            return None;
        }
        let mut options = Options::default();
        options.set_emit_comments(false);
        options.flow_nesting_limit = 64;
        options.block_nesting_limit = 64;
        let mut root = None;
        let mut documents = 0;
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = match event {
                Ok(event) => event,
                Err(error) => {
                    let location = self.location(error.marker());
                    self.report
                        .add(&location, format!("not YAML: {}", error.info()));
                    return None;
                }
            };
            if let Event::DocumentStart(..) = event {
                documents += 1;
                if documents > 1 {
                    let location = self.location(&span.start);
                    self.report.add(
                        &location,
                        "a second document begins here; one file holds one",
                    );
                    return None;
                }
            }
            if let Some(node) = self.take(event, span).ok()? {
                root = Some(node);
            }
        }
        Some(root.unwrap_or_else(|| Node {
            location: start,
            content: Content::Scalar(Scalar {
                text: String::new(),
                kind: ScalarKind::Null,
            }),
        }))
    }

    /// The whole tree, once its last part has come. `Err` when reading cannot go on.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<Option<Node>, ()> {
        let location = self.location(&span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = self.scalar_kind(&text, style, tag.as_deref(), &location);
                let scalar = Scalar {
                    text: text.into_owned(),
                    kind,
                };
                let node = Node {
                    location,
                    content: Content::Scalar(scalar),
                };
                self.complete(node, anchor, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "seq", &location);
                self.open(location, anchor, Parts::Sequence(Vec::new()));
                Ok(None)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), "map", &location);
                let parts = Parts::Mapping {
                    entries: Vec::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(location, anchor, parts);
                Ok(None)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    self.report
                        .add(&location, "an alias to a part that contains the alias");
                    return Err(());
                };
                let (node, size) = (node.clone(), *size);
                self.complete(node, 0, size)
            }
            _ => Ok(None),
        }
    }

    fn open(&mut self, location: Location, anchor: usize, parts: Parts) {
        self.open.push(Collection {
            location,
            anchor,
            nodes_before: self.nodes,
            parts,
        });
    }

    fn close(&mut self) -> Result<Option<Node>, ()> {
        let Some(collection) = self.open.pop() else {
            return Ok(None);
        };
        let content = match collection.parts {
            Parts::Sequence(items) => Content::Sequence(items),
            Parts::Mapping {
                entries, merged, ..
            } => Content::Mapping(self.merge(entries, merged)),
        };
        let size = self.nodes - collection.nodes_before;
        let node = Node {
            location: collection.location,
            content,
        };
        // Its parts are counted already; it counts itself.
        self.nodes -= size;
        self.complete(node, collection.anchor, size + 1)
    }

    fn complete(&mut self, node: Node, anchor: usize, size: usize) -> Result<Option<Node>, ()> {
        self.nodes += size;
        if self.nodes > MAXIMUM_NODES {
            self.report
                .add(&node.location, "aliases make this document too large");
            return Err(());
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        let Some(collection) = self.open.last_mut() else {
            return Ok(Some(node));
        };
        match &mut collection.parts {
            Parts::Sequence(items) => items.push(node),
            Parts::Mapping {
                entries,
                merged,
                key,
            } => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    let Content::Scalar(scalar) = key.content else {
                        self.report.add(&key.location, "a key must be text");
                        return Ok(None);
                    };
                    if scalar.kind != ScalarKind::Text {
                        self.report.add_with_hint(
                            &key.location,
                            "a key must be text",
                            "put it in quotes",
                        );
                    }
                    if scalar.text == "<<" {
                        merged.push(node);
                    } else if let Some(first) =
                        entries.iter().find(|entry| entry.key == scalar.text)
                    {
                        self.report.add(
                            &key.location,
                            format!(
                                "`{}` stands here twice; first in line {}",
                                shown(&scalar.text),
                                first.location.line
                            ),
                        );
                    } else {
                        entries.push(Entry {
                            key: scalar.text,
                            location: key.location,
                            value: node,
                        });
                    }
                }
            },
        }
        Ok(None)
    }

    /// Own keys win over merged ones, and earlier merged ones over later.
    fn merge(&self, mut entries: Vec<Entry>, merged: Vec<Node>) -> Vec<Entry> {
        for node in merged {
            let sources = match node.content {
                Content::Sequence(items) => items,
                Content::Mapping(_) | Content::Scalar(_) => vec![node],
            };
            for source in sources {
                let Content::Mapping(added) = source.content else {
                    self.report
                        .add(&source.location, "only mappings can be merged by `<<`");
                    continue;
                };
                for entry in added {
                    if entries.iter().all(|own| own.key != entry.key) {
                        entries.push(entry);
                    }
                }
            }
        }
        entries
    }

    fn scalar_kind(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        location: &Location,
    ) -> ScalarKind {
        let plain = if style == ScalarStyle::Plain {
            ScalarKind::of_plain(text)
        } else {
            ScalarKind::Text
        };
        match tag.map(|tag| (tag.core_suffix(), tag)) {
            None => plain,
            Some((Some("str"), _)) => ScalarKind::Text,
            Some((Some("int" | "bool" | "float" | "null"), _)) => ScalarKind::of_plain(text),
            Some((_, tag)) => {
                self.report.add(
                    location,
                    format!("the tag `{}` is not supported", shown(&tag.original())),
                );
                plain
            }
        }
    }

    fn refuse_tag(&self, tag: Option<&Tag>, allowed: &str, location: &Location) {
        if let Some(tag) = tag
            && tag.core_suffix() != Some(allowed)
        {
            self.report.add(
                location,
                format!("the tag `{}` is not supported", shown(&tag.original())),
            );
        }
    }
}

/// A name from the document, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        parse("f.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn parts_know_where_they_stand() {
        let tree = parse("f.yaml", "a:\n  - b: ü x\n    c: 1\n").unwrap();
        let Content::Sequence(items) = &tree.get("a").unwrap().content else {
            panic!()
        };
        let value = items[0].get("c").unwrap();
        assert_eq!(value.location.to_string(), "f.yaml:3:8");
    }

    #[test]
    fn an_empty_file_is_nothing() {
        assert!(parse("f.yaml", "").unwrap().is_null());
        assert!(parse("f.yaml", "# only a comment\n").unwrap().is_null());
    }

    #[test]
    fn every_duplicate_key_is_named() {
        assert_eq!(
            problems("a: 1\nb: 2\na: 3\nb: 4\n"),
            "f.yaml:3:1: `a` stands here twice; first in line 1\n\
             f.yaml:4:1: `b` stands here twice; first in line 2"
        );
    }

    #[test]
    fn merged_keys_yield_to_own_ones() {
        let text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz:\n  <<: [*x, *y]\n  a: 0\n";
        let tree = parse("f.yaml", text).unwrap();
        let z = tree.get("z").unwrap();
        let scalar = |key: &str| match &z.get(key).unwrap().content {
            Content::Scalar(scalar) => scalar.text.clone(),
            _ => panic!(),
        };
        assert_eq!([scalar("a"), scalar("b"), scalar("c")], ["0", "2", "4"]);
    }

    #[test]
    fn aliases_that_explode_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let references = vec![format!("*a{}", level - 1); 10].join(", ");
            text.extend([
                "a",
                &level.to_string(),
                ": &a",
                &level.to_string(),
                " [",
                &references,
                "]\n",
            ]);
        }
        assert!(problems(&text).contains("too large"));
    }

    #[test]
    fn keys_are_text() {
        assert!(problems("true: x\n").contains("a key must be text\n  hint: put it in quotes"));
        assert!(problems("[a]: x\n").contains("a key must be text"));
        assert!(parse("f.yaml", "'1': x\nyes: y\n").is_ok());
    }

    #[test]
    fn an_alias_to_its_own_container_is_refused() {
        assert!(problems("a: &a [*a]\n").contains("contains the alias"));
    }

    #[test]
    fn what_is_not_yaml_is_told_with_its_place() {
        assert!(
            problems("a: [1, 2\nb: 3\n").starts_with("f.yaml:2:"),
            "{}",
            problems("a: [1, 2\nb: 3\n")
        );
        assert!(problems("--- 1\n--- 2\n").contains("second document"));
        assert!(problems("a: !reset null\n").contains("`!reset` is not supported"));
        assert!(problems(&"[".repeat(100_000)).contains("not YAML"));
    }
}
