//! What logins mean: their claims as a table, and whole ones over a model of a tsidp.

mod logins;
mod table;
