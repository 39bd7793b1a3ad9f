//! The type of a page: the u16 at byte 24.

use std::fmt;

/// The type field of a page, known or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageKind(pub u16);

/// One line for each type: the constant, its number, its name in messages.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        impl PageKind {
            $($(#[$doc])* pub const $name: Self = Self($number);)*

            /// Returns the name of the constant; `None` for an unknown number.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Freshly allocated; also every page that was never written (all zero).
    ALLOCATED = 0;
    /// An undo log page.
    UNDO = 2;
    /// Segment inodes.
    INODE = 3;
    /// Free list of the (retired) insert buffer.
    IBUF_FREE = 4;
    /// Change buffer bitmap.
    IBUF_BITMAP = 5;
    /// A system page.
    SYS = 6;
    /// The transaction system header, page 5 of the system tablespace.
    TRX_SYS = 7;
    /// Page 0 of a tablespace.
    FSP_HDR = 8;
    /// Extent descriptors.
    XDES = 9;
    /// An uncompressed BLOB page.
    BLOB = 10;
    /// First page of a compressed BLOB.
    ZBLOB = 11;
    /// Further page of a compressed BLOB.
    ZBLOB2 = 12;
    /// A page of unknown type; upgrades set it.
    UNKNOWN = 13;
    /// A page-compressed page (`COMPRESSION='zlib'`).
    COMPRESSED = 14;
    /// An encrypted page.
    ENCRYPTED = 15;
    /// Page-compressed first, then encrypted.
    COMPRESSED_AND_ENCRYPTED = 16;
    /// An encrypted R-tree page.
    ENCRYPTED_RTREE = 17;
    /// SDI BLOB.
    SDI_BLOB = 18;
    /// SDI BLOB, compressed.
    SDI_ZBLOB = 19;
    /// A legacy doublewrite page.
    LEGACY_DBLWR = 20;
    /// Header of the rollback segment array of an undo tablespace.
    RSEG_ARRAY = 21;
    /// LOB index page.
    LOB_INDEX = 22;
    /// LOB data page.
    LOB_DATA = 23;
    /// First page of an uncompressed LOB.
    LOB_FIRST = 24;
    /// First page of a compressed LOB.
    ZLOB_FIRST = 25;
    /// Data page of a compressed LOB.
    ZLOB_DATA = 26;
    /// Index page of a compressed LOB.
    ZLOB_INDEX = 27;
    /// Fragment page of a compressed LOB.
    ZLOB_FRAG = 28;
    /// Index page of the fragments of a compressed LOB.
    ZLOB_FRAG_ENTRY = 29;
    /// SDI (serialised dictionary information) index page.
    SDI = 17853;
    /// R-tree page.
    RTREE = 17854;
    /// B-tree page.
    INDEX = 17855;
}

impl PageKind {
    /// Returns whether all bytes after byte 37 are encrypted.
    #[must_use]
    pub const fn is_encrypted(self) -> bool {
        matches!(
            self,
            Self::ENCRYPTED | Self::COMPRESSED_AND_ENCRYPTED | Self::ENCRYPTED_RTREE
        )
    }
}

impl fmt::Display for PageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "unknown ({})", self.0),
        }
    }
}
