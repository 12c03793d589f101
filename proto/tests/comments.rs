//! Every message, field, choice, value, service and call of the `.proto` files carries a comment.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, ServiceDescriptorProto,
};

/// Field numbers of descriptor.proto, of which source paths are made.
const MESSAGES: i32 = 4;
const ENUMS: i32 = 5;
const SERVICES: i32 = 6;
const FIELDS: i32 = 2;
const NESTED_MESSAGES: i32 = 3;
const NESTED_ENUMS: i32 = 4;
const ONEOFS: i32 = 8;
const VALUES: i32 = 2;
const CALLS: i32 = 2;

#[test]
fn everything_in_the_proto_files_has_a_comment() {
    let files = proto_files(Path::new("proto"));
    assert!(files.len() >= 4);
    let mut compiler = protox::Compiler::new(["proto"]).expect("the folder is there");
    compiler
        .include_source_info(true)
        .open_files(&files)
        .expect("the files compile");
    let set = compiler.file_descriptor_set();
    let (mut seen, mut missing) = (0, Vec::new());
    for file in &set.file {
        let mut check = Check::new(file);
        check.file(file);
        seen += check.seen;
        missing.extend(check.missing);
    }
    assert!(seen > 300, "only {seen} things were looked at");
    assert!(missing.is_empty(), "without a comment: {missing:#?}");
}

#[test]
fn the_check_notices_a_missing_comment() {
    let mut compiler = protox::Compiler::new(["tests/uncommented"]).expect("the folder is there");
    compiler
        .include_source_info(true)
        .open_file("uncommented.proto")
        .expect("the file compiles");
    let set = compiler.file_descriptor_set();
    let mut check = Check::new(&set.file[0]);
    check.file(&set.file[0]);
    let expected = [
        "Message",
        "Message.field",
        "Message.choice",
        "Choice",
        "CHOICE_UNSPECIFIED",
        "Service",
        "Service.Call",
    ];
    assert_eq!(check.missing, expected);
}

fn proto_files(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                found.push(path);
            }
        }
    }
    found
}

/// Walks a file's descriptors beside its comments.
struct Check {
    commented: BTreeSet<Vec<i32>>,
    seen: usize,
    missing: Vec<String>,
}

impl Check {
    fn new(file: &FileDescriptorProto) -> Self {
        let info = file.source_code_info.as_ref().expect("asked for");
        let has_text = |text: &str| !text.trim().is_empty();
        Self {
            commented: (info.location.iter())
                .filter(|location| has_text(location.leading_comments()))
                .map(|location| location.path.clone())
                .collect(),
            seen: 0,
            missing: Vec::new(),
        }
    }

    fn look(&mut self, path: &[i32], name: String) {
        self.seen += 1;
        if !self.commented.contains(path) {
            self.missing.push(name);
        }
    }

    fn file(&mut self, file: &FileDescriptorProto) {
        for (path, message) in numbered(&[], MESSAGES, &file.message_type) {
            self.message(&path, message, message.name());
        }
        for (path, enumeration) in numbered(&[], ENUMS, &file.enum_type) {
            self.enumeration(&path, enumeration);
        }
        for (path, service) in numbered(&[], SERVICES, &file.service) {
            self.service(&path, service);
        }
    }

    fn message(&mut self, path: &[i32], message: &DescriptorProto, name: &str) {
        let is_map_entry = (message.options.as_ref()).is_some_and(|options| options.map_entry());
        if is_map_entry {
            return;
        }
        self.look(path, name.to_owned());
        for (path, field) in numbered(path, FIELDS, &message.field) {
            self.look(&path, format!("{name}.{}", field.name()));
        }
        for (path, oneof) in numbered(path, ONEOFS, &message.oneof_decl) {
            // An `optional` field is a oneof of its own with an underscore before its name.
            if !oneof.name().starts_with('_') {
                self.look(&path, format!("{name}.{}", oneof.name()));
            }
        }
        for (path, nested) in numbered(path, NESTED_MESSAGES, &message.nested_type) {
            self.message(&path, nested, &format!("{name}.{}", nested.name()));
        }
        for (path, nested) in numbered(path, NESTED_ENUMS, &message.enum_type) {
            self.enumeration(&path, nested);
        }
    }

    fn enumeration(&mut self, path: &[i32], enumeration: &EnumDescriptorProto) {
        self.look(path, enumeration.name().to_owned());
        for (path, value) in numbered(path, VALUES, &enumeration.value) {
            self.look(&path, value.name().to_owned());
        }
        assert!(enumeration.value[0].name().ends_with("_UNSPECIFIED"));
    }

    fn service(&mut self, path: &[i32], service: &ServiceDescriptorProto) {
        self.look(path, service.name().to_owned());
        for (path, call) in numbered(path, CALLS, &service.method) {
            self.look(&path, format!("{}.{}", service.name(), call.name()));
        }
    }
}

/// Items of a descriptor's list with their source paths.
fn numbered<'list, T>(
    path: &[i32],
    field: i32,
    items: &'list [T],
) -> impl Iterator<Item = (Vec<i32>, &'list T)> {
    let path = path.to_vec();
    (0..).zip(items).map(move |(position, item)| {
        let mut path = path.clone();
        path.extend([field, position]);
        (path, item)
    })
}
