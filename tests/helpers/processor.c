// LD_PRELOAD: answers the CPUID instruction as another processor would (Linux, x86-64, CPUs with CPUID faulting).
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <stdio.h>

static int amd, avx512, amx;
static const char *brand;

static void set(int on) { syscall(SYS_arch_prctl, 0x1012, on); }

static void word(uint32_t r[4], const char *text) { memcpy(r, text, 16); }

static void answer(uint32_t leaf, uint32_t sub, uint32_t r[4]) {
    set(1);
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
    set(0);
    if (leaf == 0) {
        if (amd) { r[0] = 0x10; memcpy(&r[1], "Auth", 4); memcpy(&r[3], "enti", 4); memcpy(&r[2], "cAMD", 4); }
        else if (!avx512) r[0] = 0xD;
    }
    if (leaf == 1) {
        if (amd) r[0] = 0x00830F10; else if (!avx512) r[0] = 0x000306F2; else r[0] = 0x00050657;
    }
    if (leaf == 7) {
        if (sub == 0) {
            r[0] = avx512 ? r[0] : 0;
            r[3] &= ~((1u << 22) | (1u << 24) | (1u << 25) | (1u << 23));  // amx_bf16, tile, int8, avx512_fp16
            r[3] &= ~((1u << 8)); 
            if (!avx512) {
                r[1] &= ~((1u << 16) | (1u << 17) | (1u << 21) | (1u << 26) | (1u << 27) | (1u << 28) | (1u << 30) | (1u << 31));
                r[2] &= ~((1u << 1) | (1u << 6) | (1u << 8) | (1u << 9) | (1u << 10) | (1u << 11) | (1u << 12) | (1u << 14));
                r[3] &= ~((1u << 2) | (1u << 3));
            } else r[2] &= ~((1u << 1) | (1u << 6) | (1u << 8) | (1u << 9) | (1u << 10) | (1u << 12) | (1u << 14));
        } else { memset(r, 0, 16); }
    }
    if (leaf == 0xD && sub == 0) { r[0] = avx512 ? 0xE7 : 0x7; r[1] = r[2] = avx512 ? 2696 : 832; }
    if (leaf == 0xD && sub > 2 && !avx512) memset(r, 0, 16);
    if (leaf == 0x1D || leaf == 0x1E || leaf == 0x24 || leaf == 0x14) memset(r, 0, 16);
    if (leaf == 4) {
        if (amd) memset(r, 0, 16);
        else {  // 32 KB L1d, 32 KB L1i, 256 KB or 1 MB L2, 35 MB L3
            uint32_t level[5][4] = {{0x1C004121, 0x01C0003F, 0x3F, 0}, {0x1C004122, 0x01C0003F, 0x3F, 0},
                {0x1C004143, 0x01C0003F, avx512 ? 0x3FF*1 : 0x1FF, 0}, {0x1C03C163, 0x04C0003F, 0x6FFF, 4}, {0,0,0,0}};
            memcpy(r, level[sub < 4 ? sub : 4], 16);
        }
    }
    if (leaf == 0x80000000 && amd) { r[0] = 0x8000001F; memcpy(&r[1], "Auth", 4); memcpy(&r[3], "enti", 4); memcpy(&r[2], "cAMD", 4); }
    if (leaf >= 0x80000002 && leaf <= 0x80000004) {
        char text[48] = {0}; strncpy(text, brand, 47); word(r, text + 16 * (leaf - 0x80000002));
    }
    if (amd && leaf == 0x80000005) { r[0] = 0xFF40FF40; r[1] = 0xFF40FF40; r[2] = 0x20080140; r[3] = 0x20080140; }
    if (amd && leaf == 0x80000006) { r[0] = 0x48002200; r[1] = 0x68004200; r[2] = 0x02006140; r[3] = 0x00209140; }
    if (amd && leaf == 0x80000008) { r[2] = 0x1; }
    if (amd && leaf == 0x8000001D) {
        uint32_t level[5][4] = {{0x4121, 0x01C0003F, 0x3F, 0}, {0x4122, 0x01C0003F, 0x3F, 0},
            {0x4143, 0x01C0003F, 0x3FF, 2}, {0x1C163, 0x03C0003F, 0x3FFF, 1}, {0,0,0,0}};
        memcpy(r, level[sub < 4 ? sub : 4], 16);
    }
    if (amd && leaf == 0x8000001E) { r[0] = 0; r[1] = 0x100; r[2] = 0; r[3] = 0; }
    if (amd && leaf == 0xB && 0) memset(r, 0, 16);
}

static void handler(int sig, siginfo_t *info, void *context) {
    greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *code = (const uint8_t *)g[REG_RIP];
    if (code[0] == 0x0F && code[1] == 0xA2) {
        uint32_t r[4];
        answer((uint32_t)g[REG_RAX], (uint32_t)g[REG_RCX], r);
        g[REG_RAX] = r[0]; g[REG_RBX] = r[1]; g[REG_RCX] = r[2]; g[REG_RDX] = r[3];
        g[REG_RIP] += 2;
        return;
    }
    signal(SIGSEGV, SIG_DFL);
}

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("FAKE_CPU");
    if (!name) return;
    amd = !strcmp(name, "rome"); avx512 = !strcmp(name, "cascadelake");
    brand = amd ? "AMD EPYC 7B12 64-Core Processor" : avx512 ? "Intel(R) Xeon(R) Platinum 8259CL" : "Intel(R) Xeon(R) CPU E5-2680 v3";
    struct sigaction action = {0};
    action.sa_sigaction = handler; action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, 0);
    if (syscall(SYS_arch_prctl, 0x1012, 0)) fprintf(stderr, "no CPUID faulting\n");
}
