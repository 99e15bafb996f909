//! Messages as their files declare them, with the comments.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Numbers of fields in descriptor.proto, of which the paths to comments are made.
const MESSAGES: i32 = 4;
const FIELDS: i32 = 2;
const NESTED: i32 = 3;

/// A message.
#[derive(Clone, Debug)]
pub struct Message {
    /// `souk.order.v1.OrderPlaced.Line`.
    pub full_name: String,
    /// The comment above it, in one line.
    pub comment: String,
    pub fields: Vec<Field>,
}

impl Message {
    /// `Line`.
    pub fn name(&self) -> &str {
        self.full_name.rsplit('.').next().unwrap_or_default()
    }
}

/// A field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub number: i32,
    pub comment: String,
    pub repeated: bool,
    pub kind: Kind,
}

/// What a field holds.
#[derive(Clone, Debug)]
pub enum Kind {
    Text,
    Integer,
    Boolean,
    Message(Message),
}

/// One file: its events are the messages at its top level.
pub struct File {
    pub path: String,
    /// The comment that stands by itself above the first message.
    pub comment: String,
    pub messages: Vec<Message>,
}

/// The files of events.
pub fn files() -> Result<Vec<File>, String> {
    let set = FileDescriptorSet::decode(proto::rpc::DESCRIPTORS).map_err(|e| e.to_string())?;
    let known: Known<'_> = set
        .file
        .iter()
        .flat_map(|file| {
            let top = file.message_type.iter().enumerate();
            top.flat_map(move |(at, it)| all(file, file.package(), it, vec![MESSAGES, at as i32]))
        })
        .collect();
    let file = |file: &FileDescriptorProto| {
        let name = |message: &DescriptorProto| format!(".{}.{}", file.package(), message.name());
        let messages = file.message_type.iter().map(|it| message(&known, &name(it)));
        let first = location(file, &[MESSAGES, 0]);
        let detached = first.map_or(&[][..], |it| it.leading_detached_comments.as_slice());
        Ok(File {
            path: format!("proto/{}", file.name()),
            comment: one_line(&detached.join(" ")),
            messages: messages.collect::<Result<_, String>>()?,
        })
    };
    set.file.iter().filter(|file| file.name().ends_with("/events.proto")).map(file).collect()
}

/// A message, the file that declares it, and the path to it there.
type Declared<'a> = (&'a FileDescriptorProto, &'a DescriptorProto, Vec<i32>);
/// By name, with a dot in front.
type Known<'a> = HashMap<String, Declared<'a>>;

/// A message and those within it.
fn all<'a>(
    file: &'a FileDescriptorProto,
    scope: &str,
    it: &'a DescriptorProto,
    path: Vec<i32>,
) -> Vec<(String, Declared<'a>)> {
    let name = format!("{scope}.{}", it.name());
    let within = it.nested_type.iter().enumerate().flat_map(|(at, inner)| {
        all(file, &name, inner, [path.as_slice(), &[NESTED, at as i32]].concat())
    });
    let mut found: Vec<_> = within.collect();
    found.push((format!(".{name}"), (file, it, path)));
    found
}

fn message(known: &Known<'_>, name: &str) -> Result<Message, String> {
    let (file, it, path) = known.get(name).ok_or_else(|| format!("no message {name}"))?;
    let fields = it.field.iter().enumerate().map(|(at, it)| {
        let comment = comment(file, &[path.as_slice(), &[FIELDS, at as i32]].concat());
        field(known, it, comment).map_err(|error| format!("{name}.{}: {error}", it.name()))
    });
    Ok(Message {
        full_name: name.trim_start_matches('.').to_owned(),
        comment: comment(file, path),
        fields: fields.collect::<Result<_, _>>()?,
    })
}

/// Kinds that no event has had yet are refused, so that somebody thinks of how they are to be shown.
fn field(known: &Known<'_>, it: &FieldDescriptorProto, comment: String) -> Result<Field, String> {
    let kind = match it.r#type() {
        Type::String => Kind::Text,
        Type::Int64 => Kind::Integer,
        Type::Bool => Kind::Boolean,
        Type::Message => Kind::Message(message(known, it.type_name())?),
        other => return Err(format!("the catalogue does not know fields of type {other:?} yet")),
    };
    let repeated = it.label() == Label::Repeated;
    Ok(Field { name: it.name().to_owned(), number: it.number(), comment, repeated, kind })
}

fn location<'a>(file: &'a FileDescriptorProto, path: &[i32]) -> Option<&'a Location> {
    file.source_code_info.as_ref()?.location.iter().find(|it| it.path == path)
}

fn comment(file: &FileDescriptorProto, path: &[i32]) -> String {
    location(file, path).map(|it| one_line(it.leading_comments())).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
