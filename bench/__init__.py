"""How fast, beside whom, and how far from the roof: `rawgan bench`, installed as `rawgan.bench`.

    rawgan bench kernels --against torch --json kernels.json     every kernel and its gradients
    rawgan bench train-step --against torch torch.compile --memory --json steps.json
    rawgan bench growth --json growth.json                       step time against batch, width, picture size
    rawgan bench gradients mlp --device cpu cuda                 two devices' gradients, the worst first
    rawgan bench tape                                            what recording an operation costs
    rawgan bench ring --against torch --json ring.json           the ring of 8, trained and judged over seeds
    rawgan bench norms --json norms.json                         gradient norms with clipping, dropout, ...
    rawgan bench warnings                                        what watching a training costs
    rawgan bench compare a.json b.json                           two machines, two commits, a CPU and a GPU
    rawgan bench plot kernels.json                               pictures beside the file

The story in order of reading: `timing` (who is timed when), `roofs` (what this machine can do), `columns`
(where a kernel runs), `rivals` and `twins` (the same work in PyTorch); `kernels`, `steps`, `growth`,
`memory`, `tape`, `alarms` (what is timed); `ring`, `norms` (what is trained); `gradients` (what is
compared); `gpu` (all of it on a GPU); `document` (the JSON file), `tables`, `compare`, `plot`, `roofline`,
`paper` (how it is shown); `commands`.
"""

if __name__ != "rawgan.bench":
    raise ImportError("this folder is a part of rawgan: write `import rawgan.bench`, or run `rawgan bench`")
