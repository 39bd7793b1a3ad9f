//! Stores around another store. The methods that they don't change are written here once.

/// Implements [`object_store::ObjectStore`] for a type around another store. The methods in braces
/// are the type's own; those in brackets are passed to the field `$inner`. A method in neither list
/// has the default of the trait, or the code doesn't compile.
macro_rules! decorate {
    (impl [$($generics:tt)*] for $of:ty, around $inner:tt [$($passed:ident)*] { $($own:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner [[$($generics)*] $of] [$($passed)*] { $($own)* });
    };
    (@ $inner:tt [[$($generics:tt)*] $of:ty] [] { $($body:tt)* }) => {
        #[async_trait::async_trait]
        impl $($generics)* object_store::ObjectStore for $of {
            $($body)*
        }
    };
    (@ $inner:tt $of:tt [put_multipart_opts $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn put_multipart_opts(
            &self,
            location: &object_store::path::Path,
            options: object_store::PutMultipartOptions,
        ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
            self.$inner.put_multipart_opts(location, options).await
        }
        });
    };
    (@ $inner:tt $of:tt [get_opts $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn get_opts(
            &self,
            location: &object_store::path::Path,
            options: object_store::GetOptions,
        ) -> object_store::Result<object_store::GetResult> {
            self.$inner.get_opts(location, options).await
        }
        });
    };
    (@ $inner:tt $of:tt [put_opts $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn put_opts(
            &self,
            location: &object_store::path::Path,
            payload: object_store::PutPayload,
            options: object_store::PutOptions,
        ) -> object_store::Result<object_store::PutResult> {
            self.$inner.put_opts(location, payload, options).await
        }
        });
    };
    (@ $inner:tt $of:tt [get_ranges $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn get_ranges(
            &self,
            location: &object_store::path::Path,
            ranges: &[std::ops::Range<u64>],
        ) -> object_store::Result<Vec<bytes::Bytes>> {
            self.$inner.get_ranges(location, ranges).await
        }
        });
    };
    (@ $inner:tt $of:tt [delete_stream $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        fn delete_stream(
            &self,
            locations: futures::stream::BoxStream<'static, object_store::Result<object_store::path::Path>>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::path::Path>> {
            self.$inner.delete_stream(locations)
        }
        });
    };
    (@ $inner:tt $of:tt [list $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        fn list(
            &self,
            prefix: Option<&object_store::path::Path>,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            self.$inner.list(prefix)
        }
        });
    };
    (@ $inner:tt $of:tt [list_with_offset $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        fn list_with_offset(
            &self,
            prefix: Option<&object_store::path::Path>,
            offset: &object_store::path::Path,
        ) -> futures::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>> {
            self.$inner.list_with_offset(prefix, offset)
        }
        });
    };
    (@ $inner:tt $of:tt [list_with_delimiter $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn list_with_delimiter(
            &self,
            prefix: Option<&object_store::path::Path>,
        ) -> object_store::Result<object_store::ListResult> {
            self.$inner.list_with_delimiter(prefix).await
        }
        });
    };
    (@ $inner:tt $of:tt [copy_opts $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn copy_opts(
            &self,
            from: &object_store::path::Path,
            to: &object_store::path::Path,
            options: object_store::CopyOptions,
        ) -> object_store::Result<()> {
            self.$inner.copy_opts(from, to, options).await
        }
        });
    };
    (@ $inner:tt $of:tt [rename_opts $($rest:ident)*] { $($body:tt)* }) => {
        $crate::store::backend::decorated::decorate!(@ $inner $of [$($rest)*] { $($body)*
        async fn rename_opts(
            &self,
            from: &object_store::path::Path,
            to: &object_store::path::Path,
            options: object_store::RenameOptions,
        ) -> object_store::Result<()> {
            self.$inner.rename_opts(from, to, options).await
        }
        });
    };
}

pub(in crate::store) use decorate;
