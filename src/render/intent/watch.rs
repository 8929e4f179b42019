//! Tables that remember which of their values were read.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{State, Value};

/// Which keys of the intent were read while one system was rendered. Shared by all its documents.
#[derive(Debug, Clone, Default)]
pub(in crate::render) struct Reads(Option<Arc<Mutex<Read>>>);

#[derive(Debug, Default)]
struct Read {
    keys: BTreeSet<String>,
    last: Option<String>,
}

impl Reads {
    /// Remembers; [`Reads::default`] does not, and costs nothing.
    pub(in crate::render) fn kept() -> Self {
        Reads(Some(Arc::default()))
    }

    fn note(&self, key: &str) {
        let Some(read) = &self.0 else { return };
        let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.last.as_deref() != Some(key) {
            read.last = Some(key.to_string());
        }
        if !read.keys.contains(key) {
            read.keys.insert(key.to_string());
        }
    }

    /// Every key that was read.
    pub(in crate::render) fn keys(&self) -> BTreeSet<String> {
        let Some(read) = &self.0 else {
            return BTreeSet::new();
        };
        let read = read.lock().unwrap_or_else(PoisonError::into_inner);
        read.keys.clone()
    }

    /// The key that was read last: what a template asked right before it gave up.
    pub(in crate::render) fn last(&self) -> Option<String> {
        let read = self.0.as_ref()?;
        let read = read.lock().unwrap_or_else(PoisonError::into_inner);
        read.last.clone()
    }
}

/// A table for templates.
#[derive(Debug)]
pub(in crate::render) struct Table {
    fields: Vec<Field>,
    reads: Reads,
}

#[derive(Debug)]
struct Field {
    name: &'static str,
    value: Value,
    /// The keys of the site that this value answers.
    keys: Vec<Cow<'static, str>>,
}

impl Table {
    pub(in crate::render) fn new(reads: &Reads) -> Self {
        Table {
            fields: Vec::new(),
            reads: reads.clone(),
        }
    }

    /// A value that answers these keys.
    pub(in crate::render) fn says(
        mut self,
        name: &'static str,
        value: impl Into<Value>,
        keys: impl IntoIterator<Item = impl Into<Cow<'static, str>>>,
    ) -> Self {
        let keys = match self.reads.0 {
            Some(_) => keys.into_iter().map(Into::into).collect(),
            None => Vec::new(),
        };
        let value = value.into();
        self.fields.push(Field { name, value, keys });
        self
    }

    /// A value that answers nothing anyone asked.
    pub(in crate::render) fn has(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push(Field {
            name,
            value: value.into(),
            keys: Vec::new(),
        });
        self
    }

    pub(in crate::render) fn done(self) -> Value {
        Value::from_object(self)
    }

    fn read(&self, name: &str) -> Option<Value> {
        let field = self.fields.iter().find(|f| f.name == name)?;
        field.keys.iter().for_each(|key| self.reads.note(key));
        Some(field.value.clone())
    }
}

impl Object for Table {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.read(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.read(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.iter().map(|f| Value::from(f.name)).collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.fields.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never reached by a document: a table cannot be printed.
        f.write_str("(a table)")
    }
}

/// What was read so far in the rendering that a function is called in.
pub(in crate::render) fn reads_of(state: &State<'_, '_>) -> Reads {
    let storage = state.lookup("storage");
    let table = storage
        .as_ref()
        .and_then(|v| v.downcast_object_ref::<Table>());
    table.map(|t| t.reads.clone()).unwrap_or_default()
}
