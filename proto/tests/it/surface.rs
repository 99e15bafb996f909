//! What others rely on, as lines: a name, and what it stands for. Of two of them it can be said what
//! the later one has lost.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};
use serde_json::Value;

/// Keys of a document that explain it, or that may change without anybody noticing: who takes an
/// event in is its consumers' affair.
const NO_CONTRACT: [&str; 6] =
    ["info", "description", "summary", "title", "tags", "x-jetstream-consumer"];

/// Of a range; `to max` is half a billion.
const RESERVED_MAX: usize = 1_000;

/// What others rely on.
#[derive(Debug, Default)]
pub struct Surface(BTreeMap<String, String>);

impl Surface {
    /// The services and messages of `.proto` files. What is sent bears a field's number and type, code
    /// is written with its name: all of them are relied on.
    pub fn of_protos(set: &FileDescriptorSet) -> Self {
        let mut surface = Self::default();
        for file in &set.file {
            let package = file.package();
            file.message_type.iter().for_each(|it| surface.message(package, it));
            file.enum_type.iter().for_each(|it| surface.enumeration(package, it));
            file.service.iter().for_each(|it| surface.service(package, it));
        }
        surface
    }

    /// The channels, messages, payloads and senders of an AsyncAPI document.
    pub fn of_catalogue(document: &Value) -> Self {
        let mut surface = Self::default();
        surface.value("", document);
        surface
    }

    /// What was there and is not, or is something else.
    pub fn lost_in(&self, now: &Self) -> Vec<String> {
        let lost = self.0.iter().filter_map(|(name, then)| match now.0.get(name) {
            Some(now) if now == then => None,
            Some(now) => Some(format!("{name} was `{then}`, and is `{now}`")),
            None => Some(format!("{name} (`{then}`) is gone")),
        });
        lost.collect()
    }

    fn put(&mut self, name: String, what: impl Into<String>) {
        self.0.insert(name, what.into());
    }

    fn message(&mut self, scope: &str, it: &DescriptorProto) {
        let name = format!("{scope}.{}", it.name());
        self.put(name.clone(), "message");
        it.field.iter().for_each(|field| self.field(&name, it, field));
        it.nested_type.iter().for_each(|inner| self.message(&name, inner));
        it.enum_type.iter().for_each(|inner| self.enumeration(&name, inner));
        let reserved = it.reserved_range.iter().map(|range| range.start()..=range.end() - 1);
        self.reserved(&name, reserved, &it.reserved_name);
    }

    fn field(&mut self, message: &str, within: &DescriptorProto, it: &FieldDescriptorProto) {
        let label = match it.label() {
            Label::Repeated => "repeated ",
            _ if it.proto3_optional() => "optional ",
            _ => "",
        };
        let kind = match it.r#type() {
            Type::Message | Type::Enum => it.type_name().to_owned(),
            scalar => format!("{scalar:?}").to_lowercase(),
        };
        let oneof = it.oneof_index.filter(|_| !it.proto3_optional());
        let oneof = oneof.and_then(|at| within.oneof_decl.get(usize::try_from(at).ok()?));
        let oneof = oneof.map(|it| format!(" of {}", it.name())).unwrap_or_default();
        let number = format!("{message} = {}", it.number());
        self.put(number, format!("{label}{kind} {}{oneof}", it.name()));
        self.put(format!("{message}.{}", it.name()), format!("field {}", it.number()));
    }

    fn enumeration(&mut self, scope: &str, it: &EnumDescriptorProto) {
        let name = format!("{scope}.{}", it.name());
        self.put(name.clone(), "enum");
        for value in &it.value {
            self.put(format!("{name} = {}", value.number()), value.name());
        }
        // Unlike a message's, an enum's range has its end within.
        let reserved = it.reserved_range.iter().map(|range| range.start()..=range.end());
        self.reserved(&name, reserved, &it.reserved_name);
    }

    fn reserved(
        &mut self,
        name: &str,
        ranges: impl Iterator<Item = RangeInclusive<i32>>,
        names: &[String],
    ) {
        let numbers = ranges.flat_map(|range| range.take(RESERVED_MAX));
        numbers.for_each(|number| self.put(format!("{name} = {number}"), "reserved"));
        names.iter().for_each(|it| self.put(format!("{name}.{it}"), "reserved"));
    }

    fn service(&mut self, package: &str, it: &ServiceDescriptorProto) {
        for rpc in &it.method {
            let stream = |is: bool| if is { "stream " } else { "" };
            let (input, output) = (rpc.input_type(), rpc.output_type());
            let (sends, answers) = (stream(rpc.client_streaming()), stream(rpc.server_streaming()));
            let name = format!("{package}.{}/{}", it.name(), rpc.name());
            self.put(name.clone(), format!("({sends}{input}) returns ({answers}{output})"));
            if let Some(options) = rpc.options.as_ref().filter(|it| it.idempotency_level.is_some())
            {
                let level = options.idempotency_level().as_str_name();
                self.put(format!("{name} idempotency_level"), level);
            }
        }
    }

    fn value(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(fields) if fields.get("action") == Some(&Value::from("receive")) => {}
            Value::Object(fields) => {
                // A payload may have a field that is called like one of these.
                let named = path.ends_with("/properties");
                let fields =
                    fields.iter().filter(|(key, _)| named || !NO_CONTRACT.contains(&key.as_str()));
                fields.for_each(|(key, value)| self.value(&format!("{path}/{key}"), value));
            }
            // Wherever they stand in the list.
            Value::Array(items) => {
                items.iter().for_each(|item| self.put(format!("{path}[{item}]"), item.to_string()))
            }
            leaf => self.put(path.to_owned(), leaf.to_string()),
        }
    }
}
