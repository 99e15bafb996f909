//! The chassis: as a whole, in real processes with real signals, and in parts.

mod child;
mod commands;
mod encrypted;
mod health;
mod stopping;
mod tasks;
mod waiting;
