#include "base/options.h"

#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "test.h"

#define CONFIG "test_base_options.yaml"

typedef struct model_settings {
    int img_size[2], depth;
    bool qkv_bias;
    enum { POOL_TOKEN, POOL_AVG } pool;
} model_settings;

typedef struct settings {
    int64_t batch_size, seed;
    double lr, clip_grad, betas[2], minmax[2];
    int repeats, steps[3];
    bool ema, overwrite;
    const char *data, *output, *config;
    int64_t fit;
    vt_strings images, formats;
    model_settings model;
} settings;

static const vt_option model_table[] = {
    {.name = "img-size", .aliases = "input-size", .kind = VT_OPT_SIZE, VT_FIELD(model_settings, img_size), .min = 1,
     .max = 65536, .help = "image size; the model's own by default", .group = "Model"},
    {.name = "depth", .kind = VT_OPT_INT, VT_FIELD(model_settings, depth), .min = 1, .max = 1000, .fallback = "12",
     .help = "blocks", .group = "Model"},
    {.name = "qkv-bias", .kind = VT_OPT_FLAG, VT_FIELD(model_settings, qkv_bias), .fallback = "true",
     .help = "no bias of queries, keys and values", .group = "Model"},
    {.name = "global-pool", .kind = VT_OPT_CHOICE, VT_FIELD(model_settings, pool), .choices = "token|avg",
     .fallback = "token", .help = "what the head sees", .group = "Model"},
    {0}};

static const vt_option table[] = {
    {.name = "config", .aliases = "c", .kind = VT_OPT_CONFIG, VT_FIELD(settings, config), .help = "settings", .group = "Run"},
    {.name = "batch-size", .aliases = "b", .kind = VT_OPT_INT, VT_FIELD(settings, batch_size), .min = 1, .max = 65536,
     .fallback = "64", .help = "images per process and accumulation step, of which there may be several in a step",
     .group = "Batches"},
    {.name = "lr", .kind = VT_OPT_FLOAT, VT_FIELD(settings, lr), .min = 0, .max = INFINITY, .fallback = "5e-4",
     .help = "learning rate at a global batch of 512", .group = "Optimizer"},
    {.kind = VT_OPT_TABLE, VT_FIELD(settings, model), .table = model_table},
    {.name = "clip-grad", .kind = VT_OPT_FLOAT, VT_FIELD(settings, clip_grad), .min = 0, .max = INFINITY,
     .help = "norm to clip at", .group = "Optimizer"},
    {.name = "opt-betas", .kind = VT_OPT_FLOATS, VT_FIELD(settings, betas), .min = 0, .max = 1, .fallback = "0.9,0.999",
     .help = "of AdamW", .group = "Optimizer"},
    {.name = "cutmix-minmax", .kind = VT_OPT_FLOATS, VT_FIELD(settings, minmax)},
    {.name = "steps", .kind = VT_OPT_INTS, VT_FIELD(settings, steps), .fallback = "-1,0,1"},
    {.name = "seed", .kind = VT_OPT_INT, VT_FIELD(settings, seed), .fallback = "0", .help = "of all random numbers"},
    {.name = "aug-repeats", .aliases = "repeated-aug=3,no-repeated-aug=0", .kind = VT_OPT_INT, VT_FIELD(settings, repeats),
     .min = 0, .max = 100, .fallback = "3", .help = "draws of an image in an epoch", .group = "Data"},
    {.name = "model-ema", .kind = VT_OPT_FLAG, VT_FIELD(settings, ema), .help = "average weights", .group = "Optimizer"},
    {.name = "overwrite", .kind = VT_OPT_FLAG, VT_FIELD(settings, overwrite)},
    {.name = "data-path", .aliases = "data-dir", .kind = VT_OPT_STRING, VT_FIELD(settings, data), .positional = true,
     .help = "the data set", .group = "Data", .argument = "D"},
    {.name = "output_dir", .aliases = "output,o", .kind = VT_OPT_STRING, VT_FIELD(settings, output), .fallback = "out"},
    {.name = "fit", .kind = VT_OPT_BYTES, VT_FIELD(settings, fit)},
    {.name = "format", .kind = VT_OPT_STRINGS, VT_FIELD(settings, formats), .choices = "timm|hf|onnx"},
    {.name = "image", .kind = VT_OPT_STRINGS, VT_FIELD(settings, images), .positional = true},
    {0}};

/* Parses words separated by spaces ("" stays one). */
static vt_status parse(vt_options *o, settings *s, const char *line)
{
    static char words[1000];
    const char *argv[32];
    int argc = 0;
    vt_status st = vt_options_init(o, table, s);
    if (st != VT_OK) return st;
    snprintf(words, sizeof words, "%s", line);
    for (char *w = strtok(words, " "); w; w = strtok(NULL, " ")) argv[argc++] = w;
    st = vt_options_parse(o, argc, argv);
    if (st != VT_OK) vt_options_free(o);
    return st;
}

TEST(defaults)
{
    vt_options o;
    settings s;
    memset(&s, 0xAA, sizeof s);
    CHECK_OK(parse(&o, &s, ""));
    CHECK(s.batch_size == 64 && s.lr == 5e-4 && s.clip_grad == 0 && s.betas[0] == 0.9 && s.betas[1] == 0.999);
    CHECK(s.steps[0] == -1 && s.steps[2] == 1 && s.repeats == 3 && !s.ema && s.model.qkv_bias && s.model.depth == 12);
    CHECK(s.model.img_size[0] == 0 && s.model.pool == POOL_TOKEN && !s.data && s.images.count == 0);
    CHECK_STR(s.output, "out");
    CHECK(!vt_options_given(&o, "lr") && vt_options_source(&o, "lr") == VT_FROM_DEFAULT);
    vt_options_free(&o);
}

TEST(reads_every_kind)
{
    vt_options o;
    settings s;
    CHECK_OK(parse(&o, &s, "/data -b 128 --lr=1e-3 --opt_betas 0.8 0.99 --img-size 224x160 --no-qkv-bias --model-ema "
                           "--global_pool avg --cutmix-minmax=0.2,0.8 --seed -5 --fit 24GiB --format timm,onnx --steps 7 -8 9 "
                           "a.png - --clip-grad 1 b.png"));
    CHECK_STR(s.data, "/data");
    CHECK(s.batch_size == 128 && s.lr == 1e-3 && s.betas[0] == 0.8 && s.betas[1] == 0.99 && s.clip_grad == 1);
    CHECK(s.model.img_size[0] == 224 && s.model.img_size[1] == 160 && !s.model.qkv_bias && s.ema && s.model.pool == POOL_AVG);
    CHECK(s.minmax[0] == 0.2 && s.minmax[1] == 0.8 && s.seed == -5 && s.fit == (int64_t)24 << 30);
    CHECK(s.formats.count == 2 && !strcmp(s.formats.items[1], "onnx"));
    CHECK(s.steps[0] == 7 && s.steps[1] == -8 && s.steps[2] == 9);
    CHECK(s.images.count == 3 && !strcmp(s.images.items[0], "a.png") && !strcmp(s.images.items[2], "b.png"));
    CHECK(vt_options_given(&o, "opt-betas") && vt_options_given(&o, "b") && !vt_options_given(&o, "depth"));
    vt_options_free(&o);
}

TEST(spellings)
{
    vt_options o;
    settings s;
    CHECK_OK(parse(&o, &s, "-b8 --input_size 32 --no-repeated-aug --model_ema=false --data-dir x --output=y --lr 1 --lr 2"));
    CHECK(s.batch_size == 8 && s.model.img_size[1] == 32 && s.repeats == 0 && !s.ema && s.lr == 2);
    CHECK_STR(s.data, "x");
    CHECK_STR(s.output, "y");
    vt_options_free(&o);
    CHECK_OK(parse(&o, &s, "--repeated_aug -b=9 --clip-grad none --cutmix-minmax none --no-model-ema -- --x -y"));
    CHECK(s.repeats == 3 && s.batch_size == 9 && s.clip_grad == 0 && s.images.count == 1);
    CHECK_STR(s.data, "--x");
    vt_options_free(&o);
    CHECK_OK(parse(&o, &s, "--lr 1 -h --nonsense"));
    CHECK(o.help);
    vt_options_free(&o);
}

TEST(refuses)
{
    static const char *const cases[][2] = {
        {"--bach-size 3", "unknown flag --bach-size: did you mean --batch-size?"},
        {"--bach_size=3", "unknown flag --bach_size: did you mean --batch-size?"},
        {"--xyzzy", "unknown flag --xyzzy: --help lists"},
        {"-x", "unknown flag -x: --help"},
        {"-lr 3", "unknown flag --lr: did you mean --lr?"},
        {"--b 3", "unknown flag --b: "},
        {"--no-depth", "unknown flag --no-depth"},
        {"--batch-size", "--batch-size needs a value"},
        {"--batch-size --lr 1", "--batch-size needs a value"},
        {"--batch-size abc", "--batch-size: \"abc\" is not a whole number"},
        {"--batch-size 1.5", "--batch-size: \"1.5\" is not a whole number"},
        {"--batch-size=", "--batch-size: \"\" is not a whole number"},
        {"-b 0", "--batch-size: 0 is out of range: 1 to 65536"},
        {"--depth 99999999999", "--depth: 99999999999 is out of range"},
        {"--lr -1", "--lr: -1 is out of range: at least 0"},
        {"--lr nan", "--lr: \"nan\" is not a number"},
        {"--lr 1e", "--lr: \"1e\" is not a number"},
        {"--batch-size none", "\"none\" is not a whole number"},
        {"--opt-betas 0.9", "--opt-betas wants 2 values, and there are 1"},
        {"--opt-betas 0.9 --lr 1", "--opt-betas wants 2 values, and there are 1"},
        {"--opt-betas 0.9,0.99,0.999", "--opt-betas wants 2 values, and there are 3"},
        {"--opt-betas 0.9 2", "--opt-betas: 2 is out of range: 0 to 1"},
        {"--global-pool tokn", "--global-pool: unknown choice \"tokn\": did you mean token? (token, avg)"},
        {"--global-pool x", "--global-pool: unknown choice \"x\" (token, avg)"},
        {"--format timm,hff", "--format: unknown choice \"hff\": did you mean hf? (timm, hf, onnx)"},
        {"--img-size 224x", "--img-size: \"224x\" is not a size, N or HxW"},
        {"--img-size 0x2", "--img-size: 0x2 is out of range"},
        {"--fit 24Gi24", "--fit: \"24Gi24\" is not a number of bytes"},
        {"--fit B", "--fit: \"B\" is not a number of bytes"},
        {"--model-ema=maybe", "--model-ema: \"maybe\" is not true or false"},
        {"--repeated-aug=2", "--repeated-aug takes no value"},
        {"--no-model-ema=1", "--no-model-ema takes no value"},
        {"-c nowhere.yaml", "nowhere.yaml: cannot open"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_options o;
        settings s;
        CHECK_FAILS(parse(&o, &s, cases[i][0]), VT_INVALID, cases[i][1]);
    }
    vt_options o;
    int x;
    const vt_option strict[] = {{.name = "depth", .kind = VT_OPT_INT, .size = sizeof x}, {0}};
    const char *const argument[] = {"extra"};
    CHECK_OK(vt_options_init(&o, strict, &x));
    CHECK_FAILS(vt_options_parse(&o, 1, argument), VT_INVALID, "unexpected argument \"extra\"");
    vt_options_free(&o);
}

TEST(tables_are_checked)
{
    vt_options o;
    int x;
    const vt_option wrong_size[] = {{.name = "x", .kind = VT_OPT_FLOAT, .size = sizeof x}, {0}};
    const vt_option twice[] = {{.name = "a-b", .kind = VT_OPT_INT, .size = sizeof x},
                               {.name = "c", .aliases = "a_b", .kind = VT_OPT_INT, .size = sizeof x}, {0}};
    const vt_option bad_default[] = {{.name = "x", .kind = VT_OPT_INT, .size = sizeof x, .fallback = "y"}, {0}};
    CHECK_FAILS(vt_options_init(&o, wrong_size, &x), VT_FAILED, "--x: the field's type");
    CHECK_FAILS(vt_options_init(&o, twice, &x), VT_FAILED, "--a_b stands there twice");
    CHECK_FAILS(vt_options_init(&o, bad_default, &x), VT_INVALID, "--x: \"y\"");
}

TEST(settings_file)
{
    static const char yaml[] = "# a recipe\nbatch_size: 32\nlr: 1.0e-3  # high\nopt_betas: [0.8, 0.95]\nsteps:\n- 4\n- 5\n- 6\n"
                               "model_ema: true\nrepeated_aug: false\nimg_size: [32, 48]\ndata_dir: 'it''s'\nunknown: null\n"
                               "clip_grad: ~\nimage: [a, b]\n";
    vt_options o;
    settings s;
    CHECK_OK(vt_file_write(CONFIG, yaml, sizeof yaml - 1));
    CHECK_OK(parse(&o, &s, "--lr 7 -c " CONFIG));
    CHECK(s.batch_size == 32 && s.lr == 7 && s.betas[1] == 0.95 && s.steps[1] == 5 && s.ema && s.repeats == 3);
    CHECK(s.model.img_size[0] == 32 && s.model.img_size[1] == 48 && s.images.count == 2);
    CHECK_STR(s.data, "it's");
    CHECK(vt_options_source(&o, "lr") == VT_FROM_FLAG && vt_options_source(&o, "batch-size") == VT_FROM_CONFIG);
    CHECK_OK(vt_options_set(&o, "batch-size", "1", VT_FROM_PRESET));
    CHECK_OK(vt_options_set(&o, "depth", "2", VT_FROM_PRESET));
    CHECK(s.batch_size == 32 && s.model.depth == 2 && !vt_options_given(&o, "depth"));
    CHECK_FAILS(vt_options_set(&o, "dept", "2", VT_FROM_PRESET), VT_INVALID, "did you mean --depth");
    vt_options_free(&o);
    static const char *const cases[][2] = {
        {"\nbach_size: 3", CONFIG ", line 2: unknown setting bach_size: did you mean batch_size?"},
        {"batch_size: x", CONFIG ", line 1: --batch-size: \"x\" is not a whole number"},
        {"batch_size: null", CONFIG ", line 1: --batch-size cannot be null"},
        {"batch_size: [1, 2]", CONFIG ", line 1: --batch-size wants 1 value, and there are 2"},
        {"opt_betas: []", "--opt-betas wants 2 values, and there are 0"},
        {"config: x", "a settings file cannot name another"},
        {"repeated_aug: 3", "repeated_aug is true or false"},
        {"a: b: c", CONFIG ": line 1: a second"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_OK(vt_file_write(CONFIG, cases[i][0], strlen(cases[i][0])));
        CHECK_FAILS(parse(&o, &s, "-c " CONFIG), VT_INVALID, cases[i][1]);
    }
    unlink(CONFIG);
}

static const char recorded[] =
    "{\"batch_size\":128,\"lr\":1e-06,\"img_size\":\"32x48\",\"depth\":12,\"qkv_bias\":false,\"global_pool\":\"avg\","
    "\"clip_grad\":null,\"opt_betas\":[0.9,0.95],\"cutmix_minmax\":null,\"steps\":[-1,0,1],\"seed\":0,\"aug_repeats\":3,"
    "\"model_ema\":false,\"overwrite\":false,\"data_path\":\"a\\\"b\",\"output_dir\":\"5e-4\",\"fit\":null,"
    "\"format\":[\"hf\"],\"image\":[\"x\",\"- y\"]}";

static vt_status parse_sample(vt_options *o, settings *s)
{
    static const char *const argv[] = {"a\"b", "x", "-b128", "--lr", "1e-6", "--img-size", "32x48", "--no-qkv-bias",
                                       "--global-pool", "avg", "--opt-betas", "0.9", "0.95", "--output", "5e-4", "--format", "hf", "--", "- y"};
    const char *const *at = argv;
    vt_status st = vt_options_init(o, table, s);
    return st == VT_OK ? vt_options_parse(o, sizeof argv / sizeof *argv, at) : st;
}

TEST(writes_json_and_yaml)
{
    vt_options o;
    settings s;
    vt_text t = {0};
    CHECK_OK(parse_sample(&o, &s));
    vt_options_write_json(&o, &t);
    CHECK_STR(vt_text_str(&t), recorded);
    vt_text_free(&t);
    vt_options_write_yaml(&o, &t);
    CHECK_STR(vt_text_str(&t),
              "aug_repeats: 3\nbatch_size: 128\nclip_grad: null\ncutmix_minmax: null\ndata_path: 'a\"b'\ndepth: 12\nfit: null\n"
              "format:\n- hf\nglobal_pool: avg\nimage:\n- x\n- '- y'\nimg_size: 32x48\nlr: 1.0e-06\nmodel_ema: false\n"
              "opt_betas:\n- 0.9\n- 0.95\noutput_dir: '5e-4'\noverwrite: false\nqkv_bias: false\nseed: 0\n"
              "steps:\n- -1\n- 0\n- 1\n");
    vt_options_free(&o);
    /* And back: what was written is read to the same settings. */
    vt_text again = {0};
    CHECK_OK(vt_file_write(CONFIG, t.data, t.size));
    CHECK_OK(parse(&o, &s, "-c " CONFIG));
    vt_options_write_yaml(&o, &again);
    CHECK_STR(vt_text_str(&again), vt_text_str(&t));
    vt_options_free(&o);
    vt_text_free(&t);
    vt_text_free(&again);
    unlink(CONFIG);
}

TEST(resumes)
{
    vt_options o;
    settings s;
    CHECK_OK(parse(&o, &s, "--batch-size 128 --depth 3 --output other --seed 0 a\"b x"));
    CHECK_FAILS(vt_options_resume(&o, recorded, "epochs, output_dir,image"), VT_INVALID, "--depth 3: the run was begun with 12;");
    CHECK_OK(vt_options_resume(&o, recorded, "depth,output-dir,image"));
    CHECK(s.batch_size == 128 && s.model.depth == 3 && s.lr == 1e-6 && !s.model.qkv_bias && s.betas[1] == 0.95);
    CHECK_STR(s.output, "other");
    CHECK(s.images.count == 1 && s.formats.count == 1 && vt_options_source(&o, "lr") == VT_FROM_CHECKPOINT);
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":", ""), VT_INVALID, "recorded settings: JSON, byte 6");
    CHECK_FAILS(vt_options_resume(&o, "[]", ""), VT_INVALID, "recorded settings: not an object");
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":{}}", ""), VT_INVALID, "lr has a value that is no setting");
    CHECK_FAILS(vt_options_resume(&o, "{\"lr\":-1}", ""), VT_INVALID, "--lr: -1 is out of range");
    CHECK_FAILS(vt_options_resume(&o, "{\"warp\":1}", ""), VT_INVALID, "recorded setting warp is unknown");
    vt_options_free(&o);
}

TEST(help)
{
    vt_options o;
    settings s;
    vt_text t = {0};
    CHECK_OK(parse(&o, &s, ""));
    vt_options_help(&o, &t, "vitc train [flags]", "vitc train -b 8 /data");
    CHECK_STR(vt_text_str(&t),
              "usage: vitc train [flags]\n"
              "\nRun\n"
              "  -c, --config FILE           settings\n"
              "\nBatches\n"
              "  -b, --batch-size N          images per process and accumulation step, of which there may be\n"
              "                              several in a step [64]\n"
              "\nOptimizer\n"
              "      --lr X                  learning rate at a global batch of 512 [5e-4]\n"
              "      --clip-grad X           norm to clip at\n"
              "      --opt-betas X X         of AdamW [0.9,0.999]\n"
              "      --model-ema             average weights\n"
              "\nModel\n"
              "      --img-size N|HxW        image size; the model's own by default (also --input-size)\n"
              "      --depth N               blocks [12]\n"
              "      --no-qkv-bias           no bias of queries, keys and values\n"
              "      --global-pool token|avg\n"
              "                              what the head sees [token]\n"
              "\nOther\n"
              "      --seed N                of all random numbers [0]\n"
              "\nData\n"
              "      --aug-repeats N         draws of an image in an epoch [3] (also --repeated-aug: 3,\n"
              "                              --no-repeated-aug: 0)\n"
              "      --data-path D           the data set (also --data-dir)\n"
              "\nexample: vitc train -b 8 /data\n");
    vt_text_free(&t);
    vt_options_free(&o);
}

TEST(memory_running_out)
{
#ifdef VT_TEST_ALLOC
    long live = vt_alloc_live(), n = 0;
    vt_status st;
    do {
        vt_options o = {0};
        settings s;
        vt_text t = {0};
        vt_alloc_fail_at(++n, 0);
        st = parse_sample(&o, &s);
        if (st == VT_OK) {
            st = vt_options_resume(&o, recorded, "");
            vt_options_write_json(&o, &t);
            vt_options_write_yaml(&o, &t);
            vt_options_help(&o, &t, "x", "y");
            if (st == VT_OK) st = vt_text_status(&t);
        }
        vt_alloc_fail_at(0, 0);
        CHECK(st == VT_OK || st == VT_NO_MEMORY);
        vt_text_free(&t);
        vt_options_free(&o);
        CHECK_EQ(vt_alloc_live(), live);
    } while (st != VT_OK && n < 1000);
    CHECK(n > 10 && n < 1000);
#endif
}

int main(void)
{
    RUN(defaults);
    RUN(reads_every_kind);
    RUN(spellings);
    RUN(refuses);
    RUN(tables_are_checked);
    RUN(settings_file);
    RUN(writes_json_and_yaml);
    RUN(resumes);
    RUN(help);
    RUN(memory_running_out);
    TEST_END();
}
