// Empty: cuda.h, which stands before a kernel's text, has what kernels use of CUDA's cuda_fp16.h.
