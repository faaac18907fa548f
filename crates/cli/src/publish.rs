//! Where a finished image goes.

use crate::{
    annotations::Level,
    failure::Failure,
    output::{Kind, Output, Sink, StoreNames},
    prepared::{Built, Part, Prepared},
    transfer::shown,
};
use std::{
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};
use strake_build::{
    BuildError, Event, ImageLayer, LayerOrigin, StepError, VertexId, Workbench, local_blob,
};
use strake_export::{ExportError, MediaTypes, Owners};
use strake_oci::{Descriptor, Digest, Reference};
use strake_plan::Plan;
use strake_registry::{Layout, PushEvent, PushImage, PushIndex, PushLayer, PushSource};
use strake_sandbox::CancelToken;

/// What was published.
pub(crate) struct Published {
    /// The manifest or index, as the last output has it.
    pub(crate) descriptor: Descriptor,
    /// The config, where there is one only.
    pub(crate) config: Option<Digest>,
}

impl Published {
    /// What Docker calls the image: the digest of its config, or of the index of several.
    pub(crate) fn id(&self) -> Digest {
        self.config.unwrap_or(self.descriptor.digest)
    }
}

/// What publishing needs.
pub(crate) struct Publisher<'a> {
    pub(crate) built: Built<'a>,
    /// What `-t` says.
    pub(crate) names: &'a [Reference],
    pub(crate) bench: &'a Workbench,
    pub(crate) emit: &'a (dyn Fn(Event) + Sync),
    /// Its line in the progress.
    pub(crate) vertex: VertexId,
}

/// The vertex after all of the plans'.
pub(crate) fn vertex(plans: &[Plan]) -> VertexId {
    VertexId(1 + plans.iter().map(strake_build::count).sum::<usize>())
}

impl Publisher<'_> {
    /// Writes, pushes or stores the image as each of `outputs` says.
    pub(crate) fn publish(&self, outputs: &[Output]) -> Result<Published, Failure> {
        let mut published = None;
        for output in outputs {
            self.alive()?;
            self.warn(output);
            let name = title(output).to_owned();
            (self.emit)(Event::Started { vertex: self.vertex, name });
            match self.one(output) {
                Ok(prepared) => published = Some(prepared),
                Err(failure) => {
                    let error = failure.message.clone();
                    (self.emit)(Event::Failed { vertex: self.vertex, error });
                    return Err(failure);
                }
            }
            (self.emit)(Event::Done { vertex: self.vertex });
        }
        let last = match published {
            Some(last) => last,
            None => self.built.prepare(&Output::plain(Kind::Store), self.bench)?,
        };
        let mut descriptor = last.descriptor.clone();
        for (key, value) in last.notes() {
            descriptor.annotations.entry(key).or_insert(value);
        }
        Ok(Published { descriptor, config: last.config() })
    }

    /// What is asked for and has no effect.
    fn warn(&self, output: &Output) {
        let warn = |text: &str| (self.emit)(Event::Warning { text: text.to_owned() });
        if output.rewrite_timestamp
            && output.epoch.is_none()
            && self.bench.source_date_epoch.is_none()
        {
            warn("rewrite-timestamp has no effect without SOURCE_DATE_EPOCH");
        }
        let annotations = output.annotations.and(self.built.annotations);
        if output.media_types == MediaTypes::Docker && annotations.need_oci() {
            warn("annotations need OCI media types, which are used");
        }
        let lost = matches!(output.kind, Kind::Registry { .. } | Kind::Store);
        let level =
            if self.built.index { Level::IndexDescriptor } else { Level::ManifestDescriptor };
        if lost && !annotations.general(level).is_empty() {
            warn("annotations on the outermost descriptor are kept in OCI layouts only");
        }
    }

    /// Nothing is published by a build that was told to end.
    fn alive(&self) -> Result<(), Failure> {
        if self.bench.cancel.is_cancelled() {
            return Err(Failure::new(BuildError::Cancelled));
        }
        Ok(())
    }

    /// Returns what was written.
    fn one(&self, output: &Output) -> Result<Prepared, Failure> {
        let names = if output.names.is_empty() { self.names } else { &output.names };
        let prepared = self.built.prepare(output, self.bench)?;
        match &output.kind {
            Kind::Registry { by_digest, store } => {
                if *store {
                    self.keep(&prepared, names, output)?;
                }
                self.push(&prepared, names, *by_digest)?;
            }
            Kind::Store => self.keep(&prepared, names, output)?,
            Kind::OciTar(sink) => match self.exported(&prepared, names)? {
                Exported::One(image) => {
                    self.into(sink, |to| strake_export::oci_tar(&*image, to))?;
                }
                Exported::Several(multi) => {
                    self.into(sink, |to| strake_export::oci_tar(&multi, to))?;
                }
            },
            Kind::OciFolder(folder) => match self.exported(&prepared, names)? {
                Exported::One(image) => strake_export::oci_dir(&*image, folder)?,
                Exported::Several(multi) => strake_export::oci_dir(&multi, folder)?,
            },
            Kind::Docker(sink) => {
                let image = self.local(&prepared.parts[0], names)?;
                self.into(sink, |to| strake_export::docker_archive(&image, to))?;
            }
            Kind::Tar(sink) => self.tar(&prepared, output, sink)?,
            Kind::Local(folder) => self.files(&prepared, output, folder)?,
        }
        Ok(prepared)
    }

    fn tar(&self, prepared: &Prepared, output: &Output, sink: &Sink) -> Result<(), Failure> {
        let epoch = self.bench.source_date_epoch;
        let images = self.images(prepared, &[])?;
        self.into(sink, |to| match images.as_slice() {
            [only] if !self.split(output) => strake_export::tar(only, epoch, to),
            several => strake_export::tar_by_platform(several, epoch, to),
        })
    }

    fn files(&self, prepared: &Prepared, output: &Output, folder: &Path) -> Result<(), Failure> {
        let epoch = self.bench.source_date_epoch;
        for image in self.images(prepared, &[])? {
            let platform = strake_export::platform_folder(&image.config.value.platform());
            let own = folder.join(platform);
            let dest = if self.split(output) { &own } else { folder };
            strake_export::local(&image, dest, Owners::Caller, epoch)?;
        }
        Ok(())
    }

    /// Whether files are in a folder for each platform.
    fn split(&self, output: &Output) -> bool {
        output.split.unwrap_or(self.built.index)
    }

    fn exported(&self, prepared: &Prepared, names: &[Reference]) -> Result<Exported, Failure> {
        let Some(index) = &prepared.index else {
            return Ok(Exported::One(Box::new(self.local(&prepared.parts[0], names)?)));
        };
        Ok(Exported::Several(strake_export::MultiImage {
            index: index.clone(),
            images: self.images(prepared, &[])?,
            names: names.to_vec(),
            annotations: prepared.descriptor.annotations.clone(),
        }))
    }

    fn images(
        &self,
        prepared: &Prepared,
        names: &[Reference],
    ) -> Result<Vec<strake_export::Image>, Failure> {
        prepared.parts.iter().map(|it| self.local(it, names)).collect()
    }

    /// The file of a layer. What is in a layout was not necessarily read so far: its digest is checked
    /// before it goes on under that name.
    fn blob(&self, layer: &ImageLayer) -> Result<PathBuf, Failure> {
        let path = local_blob(layer, self.bench)?;
        if let LayerOrigin::Layout(folder) = &layer.origin
            && !path.starts_with(self.bench.store.root())
        {
            Layout::open(folder)?.copy_blob(&layer.descriptor, &mut io::sink(), &|_| ())?;
        }
        Ok(path)
    }

    /// A part with every blob on this machine.
    fn local(&self, part: &Part, names: &[Reference]) -> Result<strake_export::Image, Failure> {
        let mut layers = Vec::new();
        for (layer, descriptor) in &part.layers {
            layers.push(strake_export::ImageLayer {
                descriptor: descriptor.clone(),
                diff_id: layer.diff_id,
                blob: self.blob(layer)?,
            });
        }
        Ok(strake_export::Image {
            manifest: part.manifest.clone(),
            config: part.config.clone(),
            layers,
            names: names.to_vec(),
            annotations: part.descriptor.annotations.clone(),
        })
    }

    /// Into the store: every blob is there before the name is.
    fn keep(
        &self,
        prepared: &Prepared,
        names: &[Reference],
        output: &Output,
    ) -> Result<(), Failure> {
        let store = &self.bench.store;
        for part in &prepared.parts {
            for (layer, descriptor) in &part.layers {
                let blob = self.blob(layer)?;
                if store.blob(&descriptor.digest).is_none() {
                    let dir = store.temp_dir("keep")?;
                    let copy = dir.path().join("blob");
                    fs_err::copy(blob, &copy)?;
                    store.insert_blob(&copy, &descriptor.digest)?;
                }
            }
            store.write_blob(&part.config.bytes)?;
            store.write_blob(&part.manifest.bytes)?;
        }
        if let Some(index) = &prepared.index {
            store.write_blob(&index.bytes)?;
        }
        self.alive()?;
        let digest = prepared.descriptor.digest;
        let StoreNames { dangling_prefix, canonical } = &output.store_names;
        for name in names {
            store.tag_image(&name.to_string(), &digest)?;
            if *canonical {
                store.tag_image(&name.at(digest).to_string(), &digest)?;
            }
        }
        if let Some(prefix) = dangling_prefix.as_ref().filter(|_| names.is_empty()) {
            store.tag_image(&format!("{prefix}@{digest}"), &digest)?;
        }
        Ok(())
    }

    fn into(
        &self,
        sink: &Sink,
        write: impl Fn(&mut dyn Write) -> Result<(), ExportError>,
    ) -> Result<(), Failure> {
        let cancel = &self.bench.cancel;
        // Buffered on this side too: asking costs a system call.
        let write = |to: &mut dyn Write| -> Result<(), ExportError> {
            let mut to = BufWriter::with_capacity(1 << 20, Until { to, cancel });
            write(&mut to)?;
            Ok(to.flush()?)
        };
        match sink {
            Sink::Stdout => write(&mut std::io::stdout().lock())?,
            Sink::File(path) => strake_export::write_file(path, write)?,
        }
        Ok(())
    }

    fn push(
        &self,
        prepared: &Prepared,
        names: &[Reference],
        by_digest: bool,
    ) -> Result<(), Failure> {
        let digest = prepared.descriptor.digest;
        let targets: Vec<Reference> =
            if by_digest { names.iter().map(|it| it.at(digest)).collect() } else { names.to_vec() };
        let vertex = self.vertex;
        let events = |event: PushEvent| {
            if let Some(event) = shown(vertex, event) {
                (self.emit)(event);
            }
        };
        let images = prepared.parts.iter().map(|it| self.pushed(it)).collect::<Result<_, _>>()?;
        match &prepared.index {
            Some(index) => {
                let push = PushIndex { index: index.clone(), images };
                self.bench.client.push_index(&push, &targets, &events)?;
            }
            None => {
                for image in &images {
                    self.bench.client.push_image(image, &targets, &events)?;
                }
            }
        }
        Ok(())
    }

    fn pushed(&self, part: &Part) -> Result<PushImage, Failure> {
        let mut layers = Vec::new();
        for (layer, descriptor) in &part.layers {
            let source = source(layer, self.bench)?;
            layers.push(PushLayer { descriptor: descriptor.clone(), source });
        }
        let (manifest, config) = (part.manifest.clone(), part.config.bytes.clone());
        Ok(PushImage { manifest, config, layers })
    }
}

/// A layer's file where there is one; else the repository that it can be mounted from.
pub(crate) fn source(layer: &ImageLayer, bench: &Workbench) -> Result<PushSource, StepError> {
    Ok(match &layer.origin {
        LayerOrigin::Registry(reference)
            if bench.store.blob(&layer.descriptor.digest).is_none() =>
        {
            PushSource::Remote(reference.clone())
        }
        LayerOrigin::Registry(reference) => {
            PushSource::FileOf(local_blob(layer, bench)?, reference.clone())
        }
        _ => PushSource::File(local_blob(layer, bench)?),
    })
}

/// What goes into a layout.
enum Exported {
    One(Box<strake_export::Image>),
    Several(strake_export::MultiImage),
}

fn title(output: &Output) -> &'static str {
    match output.kind {
        Kind::Registry { .. } => "pushing",
        Kind::Store => "exporting to the store",
        Kind::OciTar(_) | Kind::OciFolder(_) => "exporting to oci image format",
        Kind::Docker(_) => "exporting to docker image format",
        Kind::Tar(_) => "exporting files to a tar",
        Kind::Local(_) => "exporting files",
    }
}

/// Fails once the build is cancelled, so that a large file is not written to its end.
struct Until<'a> {
    to: &'a mut dyn Write,
    cancel: &'a CancelToken,
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
