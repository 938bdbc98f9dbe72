import math, numpy as np, torch, torch.nn as nn

torch.manual_seed(4)
# k-means
pts = torch.cat([torch.randn(30, 2) + torch.tensor([4.0, 0]), torch.randn(30, 2) - 4, torch.randn(30, 2)])
cent = pts[torch.randperm(90)[:3]].clone()
for it in range(8):
    lab = torch.cdist(pts, cent).argmin(dim=1)
    new = torch.stack([pts[lab == k].mean(0) for k in range(3)])
    shift = (new - cent).norm()
    cent = new
    if shift < 1e-4:
        break
print(it, cent[cent[:, 0].argsort()], torch.bincount(lab, minlength=3).sort()[0])
# PCA
X = torch.randn(40, 5) @ torch.randn(5, 5)
Xc = X - X.mean(0, keepdim=True)
U, S, Vh = torch.linalg.svd(Xc, full_matrices=False)
print(
    S, ((S**2) / (S**2).sum()).cumsum(0), torch.dist((U * S) @ Vh, Xc) < 1e-4, (Xc @ Vh.mH[:, :2]).abs().sum()
)
cov = torch.cov(X.T)
L, Q = torch.linalg.eigh(cov)
print(L, torch.allclose(Q @ torch.diag(L) @ Q.T, cov, atol=1e-4), torch.corrcoef(X.T)[0])
Us, Ss, Vs = torch.svd(Xc)
print(Vs.shape)
u, s, v = torch.pca_lowrank(X, q=3)
print(s.shape)
# least squares
A = torch.randn(20, 3, dtype=torch.float64)
wt = torch.tensor([1.0, -2, 0.5], dtype=torch.float64)
y = A @ wt + 0.01 * torch.randn(20, dtype=torch.double)
print(
    torch.linalg.lstsq(A, y.unsqueeze(1)).solution.squeeze(),
    torch.linalg.solve(A.T @ A, A.T @ y),
    torch.linalg.pinv(A) @ y,
    torch.inverse(A.T @ A) @ A.T @ y,
    torch.linalg.inv(A.t() @ A).diagonal(),
)
q, r = torch.linalg.qr(A)
print(
    torch.allclose(q @ r, A),
    torch.linalg.det(r).abs(),
    *torch.linalg.slogdet(A.T @ A),
    torch.linalg.matrix_rank(A),
    torch.linalg.cond(A),
    torch.linalg.norm(A),
    torch.linalg.matrix_norm(A, 2),
    torch.linalg.vector_norm(A, dim=0),
    torch.linalg.matrix_power(r, 2)[0],
    torch.matrix_exp(torch.zeros(2, 2)),
    torch.linalg.multi_dot([A.T, A, wt]),
)


# GP
def rbf(a, b, ls, var):
    return var * torch.exp(-0.5 * (a.unsqueeze(1) - b.unsqueeze(0)).pow(2).sum(-1) / ls**2)


tx = torch.linspace(0, 1, 12).unsqueeze(-1)
ty = torch.sin(6 * tx).squeeze() + 0.1 * torch.randn(12)
ls = nn.Parameter(torch.tensor(0.0))
ln = nn.Parameter(torch.tensor(-2.0))
opt = torch.optim.Adam([ls, ln], lr=0.1)
for i in range(15):
    opt.zero_grad()
    K = rbf(tx, tx, ls.exp(), 1.0) + ln.exp() * torch.eye(12)
    Lc = torch.linalg.cholesky(K)
    alpha = torch.cholesky_solve(ty.unsqueeze(1), Lc)
    nll = 0.5 * ty @ alpha.squeeze() + Lc.diagonal().log().sum() + 6 * math.log(2 * math.pi)
    nll.backward()
    opt.step()
print(nll, ls.exp(), ln)
xs = torch.linspace(0, 1, 4).unsqueeze(-1)
with torch.no_grad():
    Ks = rbf(xs, tx, ls.exp(), 1.0)
    v = torch.linalg.solve_triangular(Lc, Ks.T, upper=False)
    print(Ks @ alpha.squeeze(), (1.0 - v.pow(2).sum(0)))
