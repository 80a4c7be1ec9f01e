#include "base/options.h"

#include "options_sample.h"
#include "test.h"

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
    CHECK_OK(parse(&o, &s,
                   "/data -b 128 --lr=1e-3 --opt_betas 0.8 0.99 --img-size 224x160 --no-qkv-bias --model-ema "
                   "--global_pool avg --cutmix-minmax=0.2,0.8 --seed -5 --fit 24GiB --format timm,onnx --steps 7 -8 9 "
                   "a.png - --clip-grad 1 b.png"));
    CHECK_STR(s.data, "/data");
    CHECK(s.batch_size == 128 && s.lr == 1e-3 && s.betas[0] == 0.8 && s.betas[1] == 0.99 && s.clip_grad == 1);
    CHECK(s.model.img_size[0] == 224 && s.model.img_size[1] == 160 && !s.model.qkv_bias && s.ema &&
          s.model.pool == POOL_AVG);
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
    CHECK_OK(
        parse(&o, &s, "-b8 --input_size 32 --no-repeated-aug --model_ema=false --data-dir x --output=y --lr 1 --lr 2"));
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
                               {.name = "c", .aliases = "a_b", .kind = VT_OPT_INT, .size = sizeof x},
                               {0}};
    const vt_option bad_default[] = {{.name = "x", .kind = VT_OPT_INT, .size = sizeof x, .fallback = "y"}, {0}};
    CHECK_FAILS(vt_options_init(&o, wrong_size, &x), VT_FAILED, "--x: the field's type");
    CHECK_FAILS(vt_options_init(&o, twice, &x), VT_FAILED, "--a_b stands there twice");
    CHECK_FAILS(vt_options_init(&o, bad_default, &x), VT_INVALID, "--x: \"y\"");
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

int main(void)
{
    RUN(defaults);
    RUN(reads_every_kind);
    RUN(spellings);
    RUN(refuses);
    RUN(tables_are_checked);
    RUN(help);
    TEST_END();
}
