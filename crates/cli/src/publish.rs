//! Where a finished image goes.

use crate::{
    failure::Failure,
    output::{Kind, Output, Sink},
};
use std::{
    io::{self, BufWriter, Write},
    path::PathBuf,
};
use strake_build::{
    BuildError, Event, Image, ImageLayer, LayerOrigin, VertexId, Workbench, local_blob,
};
use strake_export::{ExportError, Owners, with_media_types};
use strake_oci::{Descriptor, Manifest, Raw, Reference};
use strake_plan::Plan;
use strake_registry::{Layout, PushEvent, PushImage, PushLayer, PushOutcome, PushSource};
use strake_sandbox::CancelToken;

/// What was published.
pub(crate) struct Published {
    /// The manifest, as the last output has it.
    pub(crate) descriptor: Descriptor,
}

/// What publishing needs.
pub(crate) struct Publisher<'a> {
    pub(crate) image: &'a Image,
    /// What `-t` says.
    pub(crate) names: &'a [Reference],
    pub(crate) bench: &'a Workbench,
    pub(crate) emit: &'a (dyn Fn(Event) + Sync),
    /// Its line in the progress.
    pub(crate) vertex: VertexId,
}

/// The vertex after all of the plan's.
pub(crate) fn vertex(plan: &Plan) -> VertexId {
    VertexId(1 + plan.stages.iter().map(|it| 1 + it.steps.len()).sum::<usize>())
}

impl Publisher<'_> {
    /// Writes, pushes or stores the image as each of `outputs` says.
    pub(crate) fn publish(&self, outputs: &[Output]) -> Result<Published, Failure> {
        let mut manifest = self.image.manifest.clone();
        for output in outputs {
            self.alive()?;
            let name = title(output).to_owned();
            (self.emit)(Event::Started { vertex: self.vertex, name });
            match self.one(output) {
                Ok(written) => manifest = written,
                Err(failure) => {
                    let error = failure.message.clone();
                    (self.emit)(Event::Failed { vertex: self.vertex, error });
                    return Err(failure);
                }
            }
            (self.emit)(Event::Done { vertex: self.vertex });
        }
        let media_type = manifest.value.media_type.clone().unwrap_or_default();
        let size = manifest.bytes.len() as u64;
        Ok(Published { descriptor: Descriptor::new(&media_type, manifest.digest(), size) })
    }

    /// Nothing is published by a build that was told to end.
    fn alive(&self) -> Result<(), Failure> {
        if self.bench.cancel.is_cancelled() {
            return Err(Failure::new(BuildError::Cancelled));
        }
        Ok(())
    }

    /// Returns the manifest that was written.
    fn one(&self, output: &Output) -> Result<Raw<Manifest>, Failure> {
        if output.force_compression {
            return Err(Failure::usage("force-compression is not supported yet")
                .hint("leave it out: new layers are compressed as asked, base layers stay"));
        }
        let names = if output.names.is_empty() { self.names } else { &output.names };
        let converted = with_media_types(&self.image.manifest.value, output.media_types);
        let manifest = if converted == self.image.manifest.value {
            self.image.manifest.clone()
        } else {
            Raw::write(converted)
        };
        match &output.kind {
            Kind::Registry { by_digest } => self.push(&manifest, names, *by_digest)?,
            Kind::Store => self.keep(&manifest, names)?,
            Kind::OciTar(sink) => {
                let image = self.local(output, names)?;
                self.into(sink, |to| strake_export::oci_tar(&image, to))?;
            }
            Kind::OciFolder(folder) => {
                strake_export::oci_dir(&self.local(output, names)?, folder)?;
            }
            Kind::Docker(sink) => {
                let image = self.local(output, names)?;
                self.into(sink, |to| strake_export::docker_archive(&image, to))?;
            }
            Kind::Tar(sink) => {
                let image = self.local(output, names)?;
                self.into(sink, |to| strake_export::tar(&image, to))?;
            }
            Kind::Local(folder) => {
                strake_export::local(&self.local(output, names)?, folder, Owners::Caller)?;
            }
        }
        Ok(manifest)
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

    /// The image with every blob on this machine.
    fn local(&self, output: &Output, names: &[Reference]) -> Result<strake_export::Image, Failure> {
        let mut layers = Vec::new();
        for layer in &self.image.layers {
            layers.push(strake_export::ImageLayer {
                descriptor: layer.descriptor.clone(),
                diff_id: layer.diff_id,
                blob: self.blob(layer)?,
            });
        }
        let image = strake_export::Image {
            manifest: self.image.manifest.clone(),
            config: self.image.config.clone(),
            layers,
            names: names.to_vec(),
        };
        Ok(image.with_media_types(output.media_types))
    }

    /// Into the store: every blob is there before the name is.
    fn keep(&self, manifest: &Raw<Manifest>, names: &[Reference]) -> Result<(), Failure> {
        let store = &self.bench.store;
        for layer in &self.image.layers {
            let blob = self.blob(layer)?;
            if store.blob(&layer.descriptor.digest).is_none() {
                let dir = store.temp_dir("keep")?;
                let copy = dir.path().join("blob");
                fs_err::copy(blob, &copy)?;
                store.insert_blob(&copy, &layer.descriptor.digest)?;
            }
        }
        store.write_blob(&self.image.config.bytes)?;
        let digest = store.write_blob(&manifest.bytes)?;
        self.alive()?;
        for name in names {
            store.tag_image(&name.to_string(), &digest)?;
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
        manifest: &Raw<Manifest>,
        names: &[Reference],
        by_digest: bool,
    ) -> Result<(), Failure> {
        let mut layers = Vec::new();
        for (layer, descriptor) in self.image.layers.iter().zip(&manifest.value.layers) {
            layers.push(PushLayer { descriptor: descriptor.clone(), source: self.source(layer)? });
        }
        let image = PushImage {
            manifest: manifest.clone(),
            config: self.image.config.bytes.clone(),
            layers,
        };
        let targets: Vec<Reference> = if by_digest {
            names.iter().map(|it| it.at(manifest.digest())).collect()
        } else {
            names.to_vec()
        };
        let vertex = self.vertex;
        let events = |event: PushEvent| {
            if let Some(event) = shown(vertex, event) {
                (self.emit)(event);
            }
        };
        self.bench.client.push_image(&image, &targets, &events)?;
        Ok(())
    }

    /// A layer's file where there is one; else the repository that it can be mounted from.
    fn source(&self, layer: &ImageLayer) -> Result<PushSource, Failure> {
        Ok(match &layer.origin {
            LayerOrigin::Registry(reference)
                if self.bench.store.blob(&layer.descriptor.digest).is_none() =>
            {
                PushSource::Remote(reference.clone())
            }
            _ => PushSource::File(local_blob(layer, self.bench)?),
        })
    }
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

/// What of a push is worth a line.
fn shown(vertex: VertexId, event: PushEvent) -> Option<Event> {
    let (id, current, total, what) = match event {
        PushEvent::LayerProgress { digest, sent, size, .. } => {
            (digest.to_string(), sent, size, "pushing")
        }
        PushEvent::LayerDone { descriptor, outcome, .. } => {
            let what = match outcome {
                PushOutcome::Exists => "exists",
                PushOutcome::Mounted => "mounted",
                PushOutcome::Uploaded => "pushed",
            };
            (descriptor.digest.to_string(), descriptor.size, descriptor.size, what)
        }
        _ => return None,
    };
    Some(Event::Progress { vertex, id, current, total: Some(total), what: what.to_owned() })
}
