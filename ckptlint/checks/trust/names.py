"""Names as tables: what real checkpoints hold that is harmless, and which parts of Python and of libraries do more than hold data.

Harmless is listed, danger is the rule: within Python's own library and the libraries below, a function that is not known to make plain data
needs no place in a checkpoint. Elsewhere nobody can know, and the verdict is that trust is needed.
The harmless ones were collected from what pickle, numpy, torch, pandas and Lightning write; Python's modules are those of
`sys.stdlib_module_names` in 3.11 to 3.13, and those of Python 2 that were renamed.
"""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    """Read words between blanks."""
    return frozenset(text.split())


def _table(text: str) -> dict[str, frozenset[str]]:
    """Read lines of `module: name name ...`; a module may have several."""
    found: dict[str, frozenset[str]] = {}
    for line in text.strip().splitlines():
        module, _, names = line.strip().partition(": ")
        found[module] = found.get(module, frozenset()) | frozenset(names.split())
    return found


HARMLESS: Final = _table("""
    builtins: object bool int float complex str bytes bytearray list tuple dict set frozenset range slice NoneType Ellipsis
    builtins: abs all any len max min round sum
    builtins: NotImplemented Exception ValueError TypeError KeyError RuntimeError IndexError AttributeError StopIteration
    collections.abc: Awaitable Callable Collection Container Coroutine Generator Hashable ItemsView Iterable Iterator
    collections.abc: KeysView Mapping MappingView MutableMapping MutableSequence MutableSet Reversible Sequence Set Sized ValuesView
    __future__: annotations division print_function absolute_import unicode_literals
    copyreg: _reconstructor __newobj__ __newobj_ex__
    _codecs: encode
    collections: OrderedDict defaultdict Counter deque ChainMap UserDict UserList UserString
    types: SimpleNamespace MappingProxyType NoneType
    datetime: date time datetime timedelta timezone tzinfo
    zoneinfo: ZoneInfo ZoneInfo._unpickle
    decimal: Decimal
    fractions: Fraction
    uuid: UUID SafeUUID
    ipaddress: IPv4Address IPv6Address IPv4Network IPv6Network
    pathlib: Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath
    pathlib._local: Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath
    argparse: Namespace
    optparse: Values
    functools: partial
    itertools: count cycle repeat chain product islice
    enum: Enum IntEnum Flag IntFlag StrEnum auto
    operator: itemgetter add sub mul truediv floordiv mod neg pos eq ne lt le gt ge and_ or_ xor not_ matmul getitem
    _operator: itemgetter add sub mul truediv floordiv mod neg pos eq ne lt le gt ge and_ or_ xor not_ matmul getitem
    random: Random
    re: _compile compile RegexFlag
    _sre: compile
    string: Template
    array: array _array_reconstructor
    time: struct_time
    logging: Logger getLogger RootLogger Formatter PercentStyle StrFormatStyle LogRecord
    http: HTTPStatus
    typing: Any Union Optional List Dict Tuple Set Callable Type NamedTuple
    dataclasses: _MISSING_TYPE Field field
    numpy: dtype ndarray matrix bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 float128
    numpy: longdouble complex64 complex128 str_ bytes_ object_ void datetime64 timedelta64 intc longlong ulonglong generic recarray
    numpy: record
    numpy.core.multiarray: _reconstruct scalar
    numpy._core.multiarray: _reconstruct scalar
    numpy.core.numeric: _frombuffer
    numpy._core.numeric: _frombuffer
    numpy.core._internal: _frombuffer
    numpy.ma.core: MaskedArray _mareconstruct MaskedConstant
    numpy.random: __RandomState_ctor __randomstate_ctor
    numpy.random._pickle: __randomstate_ctor __bit_generator_ctor __generator_ctor
    numpy.random._mt19937: MT19937
    numpy.random._pcg64: PCG64 PCG64DXSM
    numpy.random.bit_generator: SeedSequence __pyx_unpickle_SeedSequence
    joblib.numpy_pickle: NumpyArrayWrapper NDArrayWrapper ZNDArrayWrapper
    ruamel.yaml.comments: CommentedMap CommentedSeq CommentedSet CommentedOrderedMap Comment Format LineCol Anchor
    ruamel.yaml.scalarfloat: ScalarFloat
    ruamel.yaml.scalarint: ScalarInt HexInt OctalInt BinaryInt
    ruamel.yaml.scalarstring: DoubleQuotedScalarString SingleQuotedScalarString PlainScalarString LiteralScalarString FoldedScalarString
    ruamel.yaml.scalarbool: ScalarBoolean
    numpy.dtypes: Float64DType Float32DType Int64DType Int32DType BoolDType StrDType ObjectDType UInt8DType
    torch: Generator layout memory_format strided sparse_coo contiguous_format channels_last preserve_format finfo iinfo device dtype
    torch._utils: _rebuild_xla_tensor
    torch._tensor: _rebuild_from_type
    torch.autograd.function: BackwardCFunction
    torch.nn.parameter: Buffer UninitializedParameter UninitializedBuffer
    torch.jit._pickle: build_intlist build_doublelist build_boollist build_tensorlist build_tensor_from_id restore_type_tag
    torch.nested._internal.nested_tensor: NestedTensor _rebuild_njt
    torch.distributed.checkpoint.metadata: Metadata TensorStorageMetadata BytesStorageMetadata TensorProperties ChunkStorageMetadata
    torch.distributed.checkpoint.metadata: MetadataIndex StorageMeta _MEM_FORMAT_ENCODING
    torch.distributed.checkpoint.filesystem: _StorageInfo
    torch.distributed.checkpoint.filesystem_tensor: _StorageInfo
    torch.distributed._shard.sharded_tensor.metadata: TensorProperties MEM_FORMAT_ENCODING ShardedTensorMetadata
    torch._dynamo.decorators: _DimRange
    torch.distributed.tensor: DTensor
    torch.distributed.tensor._dtensor_spec: DTensorSpec TensorMeta
    torch.distributed.tensor.placement_types: Shard Replicate Partial _StridedShard
    torch.distributed.device_mesh: DeviceMesh
""")

TOOLS: Final = _words("""
    pip setuptools distutils pkg_resources wheel ensurepip easy_install dill cloudpickle joblib pickle5 requests urllib3 paramiko
    fabric invoke pexpect ptyprocess psutil sh plumbum IPython ipykernel notebook jupyter jupyter_client pytest _pytest nose py cffi
    pycparser Cython pyximport numba llvmlite boto3 botocore aiohttp httpx websocket asyncssh win32api win32com pywintypes ray dask
    celery gradio flask django fastapi uvicorn twisted tornado zmq xonsh code_interpreter aiofiles fsspec smart_open wget gdown git
    torchrun torch_xla triton pydevd debugpy coverage ptpython bpython sqlalchemy jinja2 mako RestrictedPython asteval numexpr pyarrow
    bdb yaml ruamel six future builtin __builtin__ virtualenv conda hatch poetry twine build execnet
    picklescan fickling modelscan modelaudit saferpickle model_unpickler ckptlint skops
""")  # packages whose business is to run, fetch, install or evaluate: nothing in them is data

LIBRARIES: Final = _words("""
    numpy torch torchvision torchaudio torchtext functorch scipy pandas sklearn transformers tokenizers datasets tensorflow keras
    tf_keras jax jaxlib flax PIL matplotlib networkx sympy cv2 h5py spacy timm pytorch_lightning lightning lightning_fabric omegaconf
    hydra accelerate deepspeed diffusers peft huggingface_hub safetensors xgboost lightgbm catboost statsmodels mmcv mmengine fairseq
    detectron2 monai onnx onnxruntime nltk
""")  # libraries with data classes and with functions that run things: their functions are not called by honest pickles

RUNNERS: Final = _table("""
    torch: load compile export import_ir_module hub jit classes ops
    torch.hub: *
    torch.jit: *
    torch.package: *
    torch.serialization: load save _load _legacy_load
    torch.utils.cpp_extension: *
    torch.utils.model_dump: *
    torch.utils.collect_env: *
    torch.utils.bottleneck: *
    torch.utils.data.datapipes: *
    torch._dynamo: *
    torch._inductor: *
    torch.distributed.rpc: *
    torch.distributed.elastic: *
    torch.distributed.launcher: *
    torch.distributed.run: *
    torch.distributed.launch: *
    torch.multiprocessing: *
    torch.testing: *
    torch.onnx: *
    torch.fx: *
    torch.utils._config_module: *
    torch.utils.benchmark: *
    torch._appdirs: *
    torch.cuda._compile_kernel: *
    numpy: load fromfile save savez memmap loadtxt genfromtxt
    numpy.testing: *
    numpy.f2py: *
    numpy.distutils: *
    numpy.ctypeslib: *
    numpy.lib: *
    scipy.weave: *
    scipy.io: *
    pandas: read_pickle eval read_csv read_json read_sql
    pandas.io: *
    pandas.core.computation: *
    tensorflow: io load_library load_op_library py_function numpy_function
    tensorflow.python: *
    keras: models
    keras.models: *
    keras.utils: *
    sympy: sympify parsing
    sympy.parsing: *
    huggingface_hub: *
    transformers: pipeline
    nltk: data downloader download app internals
    nltk.data: *
    nltk.downloader: *
    nltk.app: *
    nltk.internals: *
    PIL.ImageMath: *
    PIL.ImageShow: *
""")

WHY: Final = {
    "runs commands": "os posix nt subprocess pty popen2 commands _posixsubprocess platform sh pexpect asyncio webbrowser multiprocessing",
    "evaluates code": (
        "builtins __builtin__ code codeop timeit profile cProfile trace doctest bdb pdb runpy compileall py_compile cgitb idlelib lib2to3 "
        "test unittest rlcompleter site this antigravity turtledemo zipapp"
    ),
    "imports modules": "importlib imp pkgutil zipimport pydoc inspect modulefinder _frozen_importlib _frozen_importlib_external",
    "unpickles or unmarshals what it is given": "pickle _pickle cPickle marshal shelve dill cloudpickle joblib copy",
    "loads native code": "ctypes _ctypes cffi mmap _winapi msvcrt winreg winsound",
    "opens network connections": (
        "socket ssl http urllib urllib2 ftplib smtplib poplib imaplib nntplib telnetlib xmlrpc socketserver asyncore asynchat smtpd "
        "requests httplib _socket webbrowser wsgiref"
    ),
    "reads, writes or deletes files": (
        "shutil tempfile io _io _pyio fileinput glob linecache zipfile tarfile gzip bz2 lzma sqlite3 dbm pathlib filecmp mailbox netrc csv "
        "codecs logging configparser plistlib xml tokenize"
    ),
    "reaches any attribute, and so any function": "operator _operator functools types gc weakref sys _collections_abc",
    "installs packages": "pip ensurepip setuptools distutils pkg_resources venv easy_install",
    "changes the process": "signal threading _thread faulthandler atexit resource sched concurrent contextlib",
}

TELLTALE: Final = _words("""
    system popen popen2 popen3 popen4 exec eval execfile execv execve spawn spawnl spawnv fork forkpty shell run_command run_cmd
    check_call check_output getoutput getstatusoutput exec_command import_module __import__ load_module rmtree unlink urlopen
    urlretrieve Popen breakpoint
""")  # what a name of anyone's package can tell by itself

STANDARD: Final = _words("""
    __future__ _abc _aix_support _ast _asyncio _bisect _blake2 _bootsubprocess _bz2 _codecs _codecs_cn _codecs_hk _codecs_iso2022
    _codecs_jp _codecs_kr _codecs_tw _collections _collections_abc _compat_pickle _compression _contextvars _crypt _csv _ctypes
    _curses _curses_panel _datetime _dbm _decimal _elementtree _frozen_importlib _frozen_importlib_external _functools _gdbm _hashlib
    _heapq _imp _io _json _locale _lsprof _lzma _markupbase _md5 _msi _multibytecodec _multiprocessing _opcode _operator _osx_support
    _overlapped _pickle _posixshmem _posixsubprocess _py_abc _pydatetime _pydecimal _pyio _pyrepl _queue _random _scproxy _sha1 _sha2
    _sha256 _sha3 _sha512 _signal _sitebuiltins _socket _sqlite3 _sre _ssl _stat _statistics _string _strptime _struct _symtable
    _sysconfig _testcapi _thread _threading_local _tkinter _tokenize _tracemalloc _typing _uuid _warnings _weakref _weakrefset _winapi
    _wmi _xxsubinterpreters _zoneinfo abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb
    binascii bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall
    concurrent configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis
    distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib imghdr imp importlib
    inspect io ipaddress itertools json keyword lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap
    modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path numbers opcode operator optparse os ossaudiodev
    pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile
    pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors
    shelve shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants sre_parse ssl stat
    statistics string stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny tarfile telnetlib tempfile termios
    test textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle turtledemo types
    typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg winsound wsgiref xdrlib xml xmlrpc zipapp
    zipfile zipimport zlib zoneinfo BaseHTTPServer Bastion CGIHTTPServer ConfigParser Cookie HTMLParser MimeWriter Queue ScrolledText
    SimpleHTTPServer SocketServer StringIO Tkinter UserDict UserList UserString __builtin__ anydbm cPickle cStringIO commands compiler
    cookielib copy_reg dircache dl dumbdbm exceptions fpformat future_builtins hotshot htmllib httplib ihooks imputil md5 mhlib
    mimetools mimify multifile mutex new os2emxpath popen2 posixfile repr rexec rfc822 robotparser sets sgmllib sha statvfs thread
    toaiff urllib2 urlparse user whichdb xmlrpclib
    _interpreters _interpchannels _interpqueues _suggestions _opcode_metadata _testinternalcapi _ios_support _android_support
    _apple_support _colorize _remote_debugging _hmac _zstd annotationlib compression _ast_unparse _testlimitedcapi _testclinic
    _testmultiphase _testsinglephase _testbuffer _xxtestfuzz _distutils_hack __phello__ __hello__ xxlimited xxsubtype
""")
