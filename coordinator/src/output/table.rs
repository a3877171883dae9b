//! Tables of words. Columns are as wide as their widest cell; the last one is not filled up.

use super::Style;
use super::foreign::harmless;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its text, on one line.
    pub text: String,
    /// What it means.
    pub style: Style,
}

impl Cell {
    /// A cell with a meaning. Line breaks would break the table and become spaces.
    pub fn new(style: Style, text: impl Into<String>) -> Self {
        let text = harmless(&text.into().replace(['\n', '\r', '\t'], " "));
        Self { text, style }
    }

    /// A cell as it is.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Style::Plain, text)
    }
}

/// A table with a title row.
#[derive(Debug, Clone)]
pub struct Table {
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these titles and no rows yet.
    pub fn new(titles: &[&str]) -> Self {
        let titles = titles
            .iter()
            .map(|title| Cell::new(Style::Strong, *title))
            .collect();
        Self { rows: vec![titles] }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Its lines.
    pub fn lines(&self, colors: bool) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| width(&cell.text)).max().unwrap_or(0)
            })
            .collect();
        self.rows
            .iter()
            .map(|row| line(row, &widths, colors))
            .collect()
    }
}

fn line(row: &[Cell], widths: &[usize], colors: bool) -> String {
    let mut line = String::new();
    for (column, cell) in row.iter().enumerate() {
        line.push_str(&cell.style.paint(&cell.text, colors));
        if row[column + 1..].iter().any(|cell| !cell.text.is_empty()) {
            let gap = widths[column] - width(&cell.text) + 2;
            line.extend(std::iter::repeat_n(' ', gap));
        }
    }
    line
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(&["host", "state", "detail"]);
        table.row([
            Cell::plain("idp"),
            Cell::new(Style::Good, "running"),
            Cell::plain(""),
        ]);
        table.row([
            Cell::plain("omni-host"),
            Cell::new(Style::Bad, "unknown"),
            Cell::plain("no\nanswer"),
        ]);
        assert_eq!(
            table.lines(false),
            [
                "host       state    detail",
                "idp        running",
                "omni-host  unknown  no answer"
            ]
        );
        assert!(table.lines(true)[1].contains("\u{1b}[32mrunning\u{1b}[0m"));
    }
}
