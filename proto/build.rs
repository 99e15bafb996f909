//! Generates the crate from `souk/**/*.proto`, without protoc: messages and services by
//! prost and tonic, and from the same descriptors two tables of our own: which RPCs may be
//! repeated, and which messages are events.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost_types::method_options::IdempotencyLevel;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=souk");
    let mut files = Vec::new();
    proto_files(Path::new("souk"), &mut files)?;
    files.sort();

    let descriptors = protox::compile(&files, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    fs::write(out.join("rpc_table.rs"), repeatable_rpcs(&descriptors)?)?;
    fs::write(out.join("event_table.rs"), events(&descriptors)?)?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}

fn proto_files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, found)?;
        } else if path.extension().is_some_and(|ext| ext == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// The paths of all RPCs that `idempotency_level` allows to send again, sorted.
fn repeatable_rpcs(set: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let mut paths: Vec<String> = set
        .file
        .iter()
        .flat_map(|file| file.service.iter().map(move |service| (file, service)))
        .flat_map(|(file, service)| service.method.iter().map(move |m| (file, service, m)))
        .filter(|(_, _, method)| {
            method
                .options
                .as_ref()
                .is_some_and(|o| o.idempotency_level() != IdempotencyLevel::IdempotencyUnknown)
        })
        .map(|(file, service, m)| format!("/{}.{}/{}", file.package(), service.name(), m.name()))
        .collect();
    paths.sort();
    let mut code = String::from("static REPEATABLE: &[&str] = &[\n");
    for path in paths {
        writeln!(code, "    {path:?},")?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// `impl Event` for every top-level message of an `events.proto`, and the list of them.
fn events(set: &FileDescriptorSet) -> Result<String, Box<dyn std::error::Error>> {
    let (mut code, mut list) = (String::new(), String::new());
    for file in set.file.iter().filter(|file| file.name().ends_with("/events.proto")) {
        for message in &file.message_type {
            event(&mut code, file, message)?;
            let name = format!("<crate::{}::{}", module(file)?, message.name());
            writeln!(list, "    ({name} as Event>::TYPE, {name} as Event>::SUBJECT),")?;
        }
    }
    writeln!(code, "/// Type and subject of every event.")?;
    writeln!(code, "pub const EVENTS: &[(&str, &str)] = &[\n{list}];")?;
    Ok(code)
}

/// The module of what a file declares: `order::v1`.
fn module(file: &FileDescriptorProto) -> Result<String, Box<dyn std::error::Error>> {
    let path = file.package().strip_prefix("souk.").ok_or("package is souk.<context>.v1")?;
    Ok(path.replace('.', "::"))
}

fn event(
    code: &mut String,
    file: &FileDescriptorProto,
    message: &DescriptorProto,
) -> Result<(), Box<dyn std::error::Error>> {
    let name = message.name();
    let field = message.field.first().map(|field| field.name()).unwrap_or_default();
    let aggregate = field
        .strip_suffix("_id")
        .ok_or_else(|| format!("{name}: the first field of an event is the id of its aggregate"))?;
    let package = file.package();
    let context = package.split('.').nth(1).ok_or("package is souk.<context>.v1")?;
    writeln!(
        code,
        r#"impl Event for crate::{module}::{name} {{
    const TYPE: &'static str = "{package}.{name}";
    const CONTEXT: &'static str = "{context}";
    const SUBJECT: &'static str = "{package}.{aggregate}.{event}";
    fn aggregate_id(&self) -> &str {{
        &self.{field}
    }}
}}"#,
        module = module(file)?,
        event = snake_case(name),
    )?;
    Ok(())
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
