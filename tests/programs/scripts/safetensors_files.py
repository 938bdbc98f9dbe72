# The safetensors library itself: it reads tensors by their addresses, and makes them of a file's mapped storage.
import json, os, struct, tempfile, warnings

import torch
from torch import nn
from safetensors.torch import save_file, load_file, save_model, load_model, save, load
from safetensors import safe_open
d = tempfile.mkdtemp()
def t(name, f):
    try: r = f()
    except BaseException as e: r = f"{type(e).__name__}: {e}"
    print(name, str(r).replace(d, "D").partition("loading them again")[0][:600])


warnings.simplefilter("ignore")
torch.manual_seed(0)
x = torch.arange(24.).reshape(4,6)
t("views", lambda: save_file({"a": x[1:3], "b": x[3:]}, d+"/v"))
t("load views", lambda: load_file(d+"/v"))
t("share", lambda: save_file({"a": x, "b": x}, d+"/v"))
t("share2", lambda: save_file({"a": x, "b": x[1:]}, d+"/v"))
t("share3", lambda: save_file({"a": x, "b": x.view(-1)}, d+"/v"))
t("noncontig", lambda: save_file({"a": x.t()}, d+"/v"))
t("clone", lambda: save_file({"a": x, "b": x.clone(), "c": x.detach().clone(), "d": x.to(torch.float32, copy=True)}, d+"/v"))
t("clone load", lambda: sorted(load_file(d+"/v")))
dt = [torch.float64,torch.float32,torch.float16,torch.bfloat16,torch.int64,torch.int32,torch.int16,torch.int8,torch.uint8,torch.bool,torch.complex64,torch.uint16,torch.uint32,torch.uint64]
al = {str(k): torch.tensor([[0,1,2],[3,0,7]]).to(k) for k in dt}
t("dtypes", lambda: save_file(al, d+"/dt"))
def lo():
    r = load_file(d+"/dt"); return {k:(v.dtype, v.tolist(), v.shape, v.stride(), v.storage_offset(), v.untyped_storage().nbytes(), v.is_contiguous()) for k,v in sorted(r.items())}
t("dtypes load", lo)
t("c128", lambda: save_file({"a": torch.ones(2,dtype=torch.complex128)}, d+"/c"))
t("empties", lambda: save_file({"a": torch.empty(0), "b": torch.empty(3,0,2), "c": torch.tensor(5.), "d": x[3:3].clone(), "e": x[2,3].clone()}, d+"/e"))
t("empties load", lambda: {k:(v, v.shape) for k,v in sorted(load_file(d+"/e").items())})
t("bytes", lambda: {k:(v.dtype,v.tolist()) for k,v in sorted(load(save(al)).items())})
t("bytes e", lambda: {k:(v.dtype,v.shape) for k,v in sorted(load(save({"a": torch.empty(0,3)})).items())})
t("requires grad", lambda: save_file(dict(nn.Linear(2,2).named_parameters()), d+"/p"))
t("meta", lambda: save_file({"a":x}, d+"/m", metadata={"k":"v"}))
def so():
    with safe_open(d+"/m", framework="pt") as f:
        s = f.get_slice("a"); g=f.get_tensor("a"); h=f.get_tensor("a")
        r=[f.keys(), f.metadata(), s.get_shape(), s.get_dtype(), s[1:3], s[:,2], s[1,2], s[..., :2], s[1:], s[-1:], g is h]
        g.zero_(); 
        return r, h.sum(), f.get_tensor("a").sum(), f.offset_keys()
t("safe_open", so)
def mod():
    r = load_file(d+"/m")["a"]; r.add_(1); r[0]=0; y=r*2; return r, y.sum(), load_file(d+"/m")["a"].sum()
t("mutate", mod)
def tr():
    m = nn.Linear(6,1); sd = load_file(d+"/lin"); m.load_state_dict(sd, assign=True); o=torch.optim.SGD(m.parameters(), lr=.1)
    for _ in range(3): o.zero_grad(); m(x).mean().backward(); o.step()
    return m.weight, m.bias, load_file(d+"/lin")["weight"], m.weight.storage_offset(), m.weight.is_leaf
torch.manual_seed(0)
t("save lin", lambda: save_file(nn.Linear(6,1).state_dict(), d+"/lin"))
t("assign and train", tr)
def over():
    sd = load_file(d+"/lin"); a=sd["weight"].sum().item(); save_file({k: v*2 for k,v in sd.items()}, d+"/lin2"); os.replace(d+"/lin2", d+"/lin"); return abs(a-sd["weight"].sum().item())<1e-6, load_file(d+"/lin")["weight"]/sd["weight"]
t("over", over)
class Tied(nn.Module):
    def __init__(s):
        super().__init__(); s.a = nn.Linear(4, 4); s.b = nn.Linear(4, 4); s.b.weight = s.a.weight; s.register_buffer("c", s.a.bias.data)
tt=Tied()
t("tied", lambda: save_model(tt, d+"/t"))
t("tied keys", lambda: (sorted(load_file(d+"/t")), sorted(safe_open(d+"/t","pt").metadata().items())))
t2=Tied()
t("tied load", lambda: (load_model(t2, d+"/t"), torch.equal(t2.b.weight, tt.a.weight), t2.a.weight is t2.b.weight))
t("strict", lambda: load_model(nn.Linear(4,4), d+"/t"))
t("not strict", lambda: tuple(map(sorted, load_model(nn.Linear(4,4), d+"/t", strict=False))))
t("tied save_file", lambda: save_file(tt.state_dict(), d+"/u"))
t("re-save loaded", lambda: save_file(load_file(d+"/dt"), d+"/dt2"))
t("re-save equal", lambda: open(d+"/dt","rb").read()==open(d+"/dt2","rb").read())
t("save_model of assigned", lambda: (lambda m: (m.load_state_dict(load_file(d+"/lin"), assign=True), save_model(m, d+"/lm"), sorted(load_file(d+"/lm"))))(nn.Linear(6,1)))
def raw(kind, shape, data):
    h=json.dumps({"a":{"dtype":kind,"shape":shape,"data_offsets":[0,len(data)]}}).encode(); return struct.pack("<Q",len(h))+h+data
open(d+"/odd","wb").write(raw("F32",[2],struct.pack("<2f",1.5,2.5)))
t("odd", lambda: (load_file(d+"/odd"), load_file(d+"/odd")["a"]+1))
open(d+"/zz","wb").write(raw("ZZ",[4],b"\x00\x38\x40\xb8"))
for n in ["zz"]:
    t(n, lambda: load_file(d+"/"+n))
    t(n+" safe_open", lambda: safe_open(d+"/"+n, "pt").keys())
t("pread", lambda: load_file(d+"/m", backend="pread"))
t("big", lambda: (save_file({"b": torch.full((1000,1000), 2.)}, d+"/b"), load_file(d+"/b")["b"].mean()))
t("after inplace", lambda: (lambda y: (y.data_ptr(), y.mul_(3), save_file({"y":y}, d+"/y"), load_file(d+"/y"))[3])(torch.ones(3)))
t("np shared", lambda: (lambda y: (y.numpy().__setitem__(0,9), save_file({"y":y}, d+"/y"), load_file(d+"/y"))[2])(torch.ones(3)))
t("expand", lambda: save_file({"y":torch.ones(1).expand(3)}, d+"/y"))
t("cat chunks", lambda: (save_file(dict(zip("ab", torch.arange(6.).chunk(2))), d+"/y"), load_file(d+"/y"))[1])
