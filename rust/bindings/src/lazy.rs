//! Events of a stream in, objects out that read their fields from the events' JSON when asked.
//!
//! What an object is an instance of, and how it becomes what another package would have made of
//! the event, is Python's to say: `tailrace._fast`.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyAttributeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyList, PyString, PyTuple, PyType};
use tailrace_core::json::{Kind, Members, Place, Reader, elements};
use tailrace_core::{Event, EventDecoder};

use crate::input::{Whole, bytes_of, limit};
use crate::output::string;
use crate::raise::{in_use, limit_exceeded};

/// Under this name an object keeps its record among its attributes. No field can have it.
const KEPT: &str = "<kept by tailrace>";

/// How objects of one class are made.
#[pyclass(frozen, name = "_Shape", module = "tailrace")]
pub struct Shape {
    /// The class of the objects.
    lazy: Py<PyType>,
    /// Whether a member that is no field is an attribute, as it is.
    extras: bool,
}

#[pymethods]
impl Shape {
    #[new]
    fn new(lazy: Py<PyType>, extras: bool) -> Self {
        Self { lazy, extras }
    }
}

/// The shapes among which an object's member decides.
#[pyclass(frozen, name = "_Variants", module = "tailrace")]
pub struct Variants {
    /// The member that names the variant; `None` where there is one shape alone.
    discriminator: Option<String>,
    /// Gives the shape of a variant by its name, or `None`.
    find: Py<PyAny>,
    found: Mutex<Vec<(String, Py<Shape>)>>,
}

#[pymethods]
impl Variants {
    #[new]
    fn new(discriminator: Option<String>, find: Py<PyAny>) -> Self {
        Self { discriminator, find, found: Mutex::default() }
    }
}

impl Variants {
    /// The shape of the object whose members these are, and the name of its variant.
    fn of<'a>(
        &self,
        py: Python<'_>,
        text: &'a str,
        members: &Members,
    ) -> PyResult<Option<(Py<Shape>, Option<&'a str>)>> {
        let name = match &self.discriminator {
            None => None,
            Some(discriminator) => match members.find(text, discriminator) {
                Some((Kind::String, range)) => Some(&text[range.start + 1..range.end - 1]),
                _ => return Ok(None),
            },
        };
        let shape = match self.known(py, name.unwrap_or_default()) {
            Some(shape) => Some(shape),
            None => self.ask(py, name)?,
        };
        Ok(shape.map(|shape| (shape, name)))
    }

    /// Few variants come in one stream, so that they are looked for one by one.
    fn known(&self, py: Python<'_>, name: &str) -> Option<Py<Shape>> {
        let found = self.lock();
        found.iter().find(|(known, _)| known == name).map(|(_, shape)| shape.clone_ref(py))
    }

    fn ask(&self, py: Python<'_>, name: Option<&str>) -> PyResult<Option<Py<Shape>>> {
        let shape: Option<Py<Shape>> = self.find.call1(py, (name,))?.extract(py)?;
        // A name that is no variant is not kept, as a peer can send any number of them.
        if let Some(shape) = &shape {
            self.lock().push((name.unwrap_or_default().to_owned(), shape.clone_ref(py)));
        }
        Ok(shape)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(String, Py<Shape>)>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The JSON of an event, and who makes the whole object of it.
struct Source {
    text: String,
    make: Py<PyAny>,
    whole: PyOnceLock<Py<PyAny>>,
}

/// A field or an element on the way from an event's object to one within it.
#[derive(Clone)]
struct Step {
    field: Arc<Py<PyString>>,
    index: Option<usize>,
}

/// A field's name, and the object or the list of objects that was handed out for it.
type Given = (Arc<Py<PyString>>, Py<PyAny>);

/// What an object that is not yet whole is read from.
#[pyclass(frozen, name = "_Kept", module = "tailrace")]
pub struct Kept {
    source: Arc<Source>,
    shape: Py<Shape>,
    range: Range<usize>,
    members: Members,
    way: Vec<Step>,
    /// Objects and lists of objects that were handed out, by field: the whole object has the same.
    given: Mutex<Vec<Given>>,
}

#[pymethods]
impl Kept {
    /// Make the whole object.
    fn whole<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let source = &self.source;
        let made = source.whole.get_or_try_init(py, || source.make.call1(py, (&source.text,)))?;
        let mut object = made.bind(py).clone();
        for step in &self.way {
            object = object.getattr(step.field.bind(py))?;
            if let Some(index) = step.index {
                object = object.get_item(index)?;
            }
        }
        Ok(object)
    }

    /// The fields that were handed out as objects or lists of them.
    fn given<'py>(&self, py: Python<'py>) -> Vec<(Bound<'py, PyString>, Bound<'py, PyAny>)> {
        let given = self.lock();
        given.iter().map(|(name, value)| (name.bind(py).clone(), value.bind(py).clone())).collect()
    }

    /// The value of the member of this name, which is no field, in a tuple.
    ///
    /// The tuple is empty where there is none; `None` stands for what the whole object alone can
    /// tell.
    fn member<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Option<Bound<'py, PyTuple>>> {
        if !self.shape.get().extras {
            return Ok(None);
        }
        let Some((kind, range)) = self.members.find(self.text(), name) else {
            return Ok(Some(PyTuple::empty(py)));
        };
        let value = scalar(py, ALL, kind, &self.text()[range])?;
        value.map(|value| PyTuple::new(py, [value])).transpose()
    }
}

impl Kept {
    fn text(&self) -> &str {
        &self.source.text[self.range.clone()]
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Given>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of a field; `None` where the whole object alone can tell it.
    fn value<'py>(&self, py: Python<'py>, field: &Field) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.members.find(self.text(), &field.key) {
            None => Ok(field.absent.as_ref().map(|value| value.bind(py).clone())),
            Some((kind @ (Kind::Object | Kind::Array), range)) => {
                self.container(py, field, (kind, range))
            }
            Some((kind, range)) => scalar(py, field.kinds, kind, &self.text()[range]),
        }
    }

    fn container<'py>(
        &self,
        py: Python<'py>,
        field: &Field,
        place: Place,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let given = self.lock().iter().find_map(|(name, value)| {
            Arc::ptr_eq(name, &field.name).then(|| value.bind(py).clone())
        });
        if given.is_some() {
            return Ok(given);
        }
        let made = match (place.0, &field.item, &field.elements) {
            (Kind::Object, Some(variants), _) => {
                self.within(py, variants.get(), place, self.step(field, None))?
            }
            (Kind::Array, _, Some(variants)) => self.list(py, field, variants.get(), &place.1)?,
            _ => None,
        };
        if let Some(made) = &made {
            self.lock().push((Arc::clone(&field.name), made.clone().unbind()));
        }
        Ok(made)
    }

    fn list<'py>(
        &self,
        py: Python<'py>,
        field: &Field,
        variants: &Variants,
        range: &Range<usize>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let Ok(places) = elements(&self.text()[range.clone()]) else { return Ok(None) };
        let list = PyList::empty(py);
        for (index, (kind, at)) in places.into_iter().enumerate() {
            let place = (kind, range.start + at.start..range.start + at.end);
            match self.within(py, variants, place, self.step(field, Some(index)))? {
                Some(object) => list.append(object)?,
                None => return Ok(None),
            }
        }
        Ok(Some(list.into_any()))
    }

    fn within<'py>(
        &self,
        py: Python<'py>,
        variants: &Variants,
        (kind, range): Place,
        way: Vec<Step>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        if kind != Kind::Object {
            return Ok(None);
        }
        let text = &self.text()[range.clone()];
        let Ok(members) = Members::read(text) else { return Ok(None) };
        if is_odd(&members, text) {
            return Ok(None);
        }
        let Some((shape, _)) = variants.of(py, text, &members)? else { return Ok(None) };
        let range = self.range.start + range.start..self.range.start + range.end;
        let source = Arc::clone(&self.source);
        object(py, Self { source, shape, range, members, way, given: Mutex::default() }).map(Some)
    }

    fn step(&self, field: &Field, index: Option<usize>) -> Vec<Step> {
        let mut way = Vec::with_capacity(self.way.len() + 1);
        way.extend_from_slice(&self.way);
        way.push(Step { field: Arc::clone(&field.name), index });
        way
    }
}

/// Whether making the object may fail, as a name is one of those that its maker uses itself.
fn is_odd(members: &Members, text: &str) -> bool {
    members.iter(text).any(|(key, _)| key.starts_with('_') || key.starts_with('\\'))
}

/// An object that keeps this record.
fn object(py: Python<'_>, kept: Kept) -> PyResult<Bound<'_, PyAny>> {
    static NEW: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static SET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let base = || py.get_type::<PyAny>();
    let new = NEW.get_or_try_init(py, || base().getattr("__new__").map(Bound::unbind))?;
    let set = SET.get_or_try_init(py, || base().getattr("__setattr__").map(Bound::unbind))?;
    let object = new.bind(py).call1((&kept.shape.get().lazy,))?;
    set.bind(py).call1((&object, intern!(py, KEPT), kept))?;
    Ok(object)
}

/// The record that `object` keeps, as long as it is not whole.
fn kept<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, Kept>> {
    object.getattr(intern!(object.py(), KEPT)).ok()?.cast_into().ok()
}

/// Return the record that an object keeps, or `None` once the object is whole.
#[pyfunction(name = "_kept")]
#[pyo3(signature = (item, /))]
pub fn kept_by<'py>(item: &Bound<'py, PyAny>) -> Option<Bound<'py, Kept>> {
    kept(item)
}

const TEXT: u8 = 1;
const INTEGER: u8 = 2;
const BOOLEAN: u8 = 4;
const NULL: u8 = 8;
const ALL: u8 = TEXT | INTEGER | BOOLEAN | NULL;

/// A value that is of one of `kinds` and means the same to every reader.
fn scalar<'py>(
    py: Python<'py>,
    kinds: u8,
    kind: Kind,
    raw: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(match kind {
        Kind::String if kinds & TEXT != 0 => text(py, raw)?.map(Bound::into_any),
        Kind::Number if kinds & INTEGER != 0 => match raw.parse::<i64>() {
            Ok(number) => Some(number.into_pyobject(py)?.into_any()),
            Err(_) => None,
        },
        Kind::True | Kind::False if kinds & BOOLEAN != 0 => {
            Some(PyBool::new(py, kind == Kind::True).to_owned().into_any())
        }
        Kind::Null if kinds & NULL != 0 => Some(py.None().into_bound(py)),
        _ => None,
    })
}

/// The text of a string; `None` where it may have half a character, which Python's reader keeps.
fn text<'py>(py: Python<'py>, raw: &str) -> PyResult<Option<Bound<'py, PyString>>> {
    let Ok(read) = Reader::new(raw).string() else { return Ok(None) };
    let decoded = read.decode();
    if decoded.len() + 2 != raw.len() && decoded.contains('\u{FFFD}') {
        return Ok(None);
    }
    string(py, &decoded).map(Some)
}

/// A field of a class of objects: a descriptor.
#[pyclass(frozen, name = "_Field", module = "tailrace")]
pub struct Field {
    name: Arc<Py<PyString>>,
    key: String,
    /// The class whose field it is, after which the objects are made.
    real: Py<PyType>,
    /// Makes an object whole, so that it has all its attributes.
    make_whole: Py<PyAny>,
    kinds: u8,
    absent: Option<Py<PyAny>>,
    item: Option<Py<Variants>>,
    elements: Option<Py<Variants>>,
}

#[pymethods]
impl Field {
    #[new]
    #[pyo3(signature = (name, real, make_whole, *, kinds=0, absent=None, item=None, elements=None))]
    fn new(
        name: &Bound<'_, PyString>,
        real: Py<PyType>,
        make_whole: Py<PyAny>,
        kinds: u8,
        absent: Option<(Py<PyAny>,)>,
        item: Option<Py<Variants>>,
        elements: Option<Py<Variants>>,
    ) -> PyResult<Self> {
        Ok(Self {
            name: Arc::new(name.clone().unbind()),
            key: name.to_str()?.to_owned(),
            real,
            make_whole,
            kinds,
            absent: absent.map(|(value,)| value),
            item,
            elements,
        })
    }

    fn __get__<'py>(
        &self,
        instance: &Bound<'py, PyAny>,
        _owner: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = instance.py();
        if instance.is_none() {
            return self.real.bind(py).getattr(self.name.bind(py));
        }
        if let Some(kept) = kept(instance)
            && let Some(value) = kept.get().value(py, self)?
        {
            return Ok(value);
        }
        self.whole(instance)?.getattr(self.name.bind(py))
    }

    fn __set__(&self, instance: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.whole(instance)?.setattr(self.name.bind(instance.py()), value)
    }

    fn __delete__(&self, instance: &Bound<'_, PyAny>) -> PyResult<()> {
        self.whole(instance)?.delattr(self.name.bind(instance.py()))
    }
}

impl Field {
    fn whole<'a, 'py>(&self, instance: &'a Bound<'py, PyAny>) -> PyResult<&'a Bound<'py, PyAny>> {
        let before = instance.get_type();
        self.make_whole.call1(instance.py(), (instance,))?;
        // An object that nobody filled is of this class for ever.
        if instance.get_type().is(&before) {
            return Err(PyAttributeError::new_err(self.key.clone()));
        }
        Ok(instance)
    }
}

/// Bytes of an event stream in; objects out, and what only the stream's own client can read.
#[pyclass(name = "_ObjectReader", module = "tailrace")]
pub struct ObjectReader {
    events: EventDecoder,
    variants: Py<Variants>,
    make: Py<PyAny>,
    /// Whether each event has the name of its variant, and is nothing without.
    named: bool,
}

#[pymethods]
impl ObjectReader {
    #[new]
    #[pyo3(signature = (variants, make, *, named, max_event_bytes))]
    fn new(
        py: Python<'_>,
        variants: Py<Variants>,
        make: Py<PyAny>,
        named: bool,
        max_event_bytes: Whole,
    ) -> PyResult<Self> {
        let events = EventDecoder::new(limit(py, "max_event_bytes", max_event_bytes)?);
        Ok(Self { events, variants, make, named })
    }

    /// Return what `data` completes.
    ///
    /// That is lists of objects, and between them, as tuples of name, data, id and retry, the
    /// events that are none.
    fn feed<'py>(slf: &Bound<'py, Self>, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut reader = slf.try_borrow_mut().map_err(|_| in_use(py, "ObjectReader"))?;
        let bytes = bytes_of(data)?;
        let mut found = Found { all: PyList::empty(py), run: None };
        let mut failed = Ok(());
        let Self { events, variants, make, named } = &mut *reader;
        let fed = events.feed(&bytes, |event| {
            let read = object_of(&event, variants.bind(py), make.bind(py), *named);
            failed = read.and_then(|object| found.add(&event, object));
            let goes_on = failed.is_ok() && (*named || !event.data.starts_with(DONE));
            if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        failed?;
        match fed {
            // The next call raises, so that what came before is not lost.
            Err(overflow) if found.all.is_empty() => Err(limit_exceeded(py, &overflow.to_string())),
            _ => Ok(found.all),
        }
    }

    /// End the stream; an unfinished event is dropped.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let mut reader = slf.try_borrow_mut().map_err(|_| in_use(py, "ObjectReader"))?;
        reader.events.close().map_err(|overflow| limit_exceeded(py, &overflow.to_string()))
    }
}

/// The data of the event behind which OpenAI's clients read nothing.
const DONE: &str = "[DONE]";

/// What a read brought.
struct Found<'py> {
    all: Bound<'py, PyList>,
    /// The last of `all`, as long as it is a list that goes on.
    run: Option<Bound<'py, PyList>>,
}

impl<'py> Found<'py> {
    fn add(&mut self, event: &Event<'_>, object: Option<Bound<'py, PyAny>>) -> PyResult<()> {
        let Some(object) = object else {
            self.run = None;
            return self.all.append((event.name, event.data, event.id, event.retry));
        };
        if let Some(run) = &self.run {
            return run.append(object);
        }
        let run = PyList::new(self.all.py(), [object])?;
        self.all.append(&run)?;
        self.run = Some(run);
        Ok(())
    }
}

/// The object of an event; `None` where the stream's own client must look at it.
fn object_of<'py>(
    event: &Event<'_>,
    variants: &Bound<'py, Variants>,
    make: &Bound<'py, PyAny>,
    named: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let (py, text) = (make.py(), event.data);
    // OpenAI's assistants put the name and the data together.
    if event.name.is_some_and(|name| name.starts_with("thread.")) || has_controls(text) {
        return Ok(None);
    }
    let Ok(members) = Members::read(text) else { return Ok(None) };
    if is_odd(&members, text) || has_error(&members, text) {
        return Ok(None);
    }
    let Some((shape, variant)) = variants.get().of(py, text, &members)? else { return Ok(None) };
    if named && event.name != variant {
        return Ok(None);
    }
    let make = make.clone().unbind();
    let source = Source { text: text.to_owned(), make, whole: PyOnceLock::new() };
    let (range, way, given) = (0..text.len(), Vec::new(), Mutex::default());
    object(py, Kept { source: Arc::new(source), shape, range, members, way, given }).map(Some)
}

/// Whether there is a control character, which Python's reader refuses within a string.
fn has_controls(text: &str) -> bool {
    // The least of all, which the compiler finds many at a time.
    text.bytes().fold(u8::MAX, u8::min) < b' '
}

fn has_error(members: &Members, text: &str) -> bool {
    members.find(text, "error").is_some_and(|(kind, _)| kind != Kind::Null)
}
