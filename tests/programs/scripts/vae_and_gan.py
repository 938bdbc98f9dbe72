import argparse
import torch
import torch.utils.data
from torch import nn, optim
from torch.nn import functional as F
from torch.autograd import Variable

parser = argparse.ArgumentParser(description="VAE")
parser.add_argument("--batch-size", type=int, default=16)
args = parser.parse_args()
args.cuda = torch.cuda.is_available()
torch.manual_seed(7)
device = torch.device("cuda" if args.cuda else "cpu")
kwargs = {"num_workers": 1, "pin_memory": True} if args.cuda else {}
data = (torch.rand(64, 1, 8, 8) > 0.5).float()
train_loader = torch.utils.data.DataLoader(
    torch.utils.data.TensorDataset(data, torch.zeros(64)), batch_size=args.batch_size, shuffle=True, **kwargs
)


class VAE(nn.Module):
    def __init__(self):
        super(VAE, self).__init__()
        self.fc1 = nn.Linear(64, 40)
        self.fc21 = nn.Linear(40, 5)
        self.fc22 = nn.Linear(40, 5)
        self.fc3 = nn.Linear(5, 40)
        self.fc4 = nn.Linear(40, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.randn_like(std)
        return mu + eps * std

    def decode(self, z):
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z))))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


model = VAE().to(device)
optimizer = optim.Adam(model.parameters(), lr=1e-3)


def loss_function(recon_x, x, mu, logvar):
    BCE = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    return BCE + -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())


for epoch in range(1, 3):
    model.train()
    train_loss = 0
    for batch_idx, (x, _) in enumerate(train_loader):
        x = x.to(device)
        optimizer.zero_grad()
        recon, mu, logvar = model(x)
        loss = loss_function(recon, x, mu, logvar)
        loss.backward()
        train_loss += loss.item()
        optimizer.step()
        if batch_idx % 2 == 0:
            print(
                "Train Epoch: {} [{}/{} ({:.0f}%)]\tLoss: {:.6f}".format(
                    epoch,
                    batch_idx * len(x),
                    len(train_loader.dataset),
                    100.0 * batch_idx / len(train_loader),
                    loss.item() / len(x),
                )
            )
    print("====> Epoch: {} Average loss: {:.4f}".format(epoch, train_loss / len(train_loader.dataset)))
with torch.no_grad():
    print(model.decode(torch.randn(2, 5).to(device)).cpu().view(2, 1, 8, 8)[0, 0, :2])


# GAN
class Generator(nn.Module):
    def __init__(self):
        super().__init__()

        def block(i, o, normalize=True):
            layers = [nn.Linear(i, o)]
            if normalize:
                layers.append(nn.BatchNorm1d(o, 0.8))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
            return layers

        self.model = nn.Sequential(
            *block(10, 16, normalize=False), *block(16, 32), nn.Linear(32, 64), nn.Tanh()
        )

    def forward(self, z):
        return self.model(z).view(z.size(0), 1, 8, 8)


G = Generator()
D = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 32), nn.LeakyReLU(0.2, inplace=True), nn.Linear(32, 1), nn.Sigmoid()
)
adv = torch.nn.BCELoss()
oG = torch.optim.Adam(G.parameters(), lr=2e-4, betas=(0.5, 0.999))
oD = torch.optim.Adam(D.parameters(), lr=2e-4, betas=(0.5, 0.999))
Tensor = torch.cuda.FloatTensor if args.cuda else torch.FloatTensor
for i, (imgs, _) in enumerate(train_loader):
    valid = Variable(Tensor(imgs.size(0), 1).fill_(1.0), requires_grad=False)
    fake = Variable(Tensor(imgs.size(0), 1).fill_(0.0), requires_grad=False)
    real = Variable(imgs.type(Tensor))
    oG.zero_grad()
    z = Variable(torch.randn(imgs.shape[0], 10))
    gen = G(z)
    g_loss = adv(D(gen), valid)
    g_loss.backward()
    oG.step()
    oD.zero_grad()
    d_loss = (adv(D(real), valid) + adv(D(gen.detach()), fake)) / 2
    d_loss.backward()
    oD.step()
    print("[Batch %d/%d] [D loss: %f] [G loss: %f]" % (i, len(train_loader), d_loss.item(), g_loss.item()))


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


netG = nn.Sequential(
    nn.ConvTranspose2d(6, 8, 4, 1, 0, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(True),
    nn.ConvTranspose2d(8, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
netD = nn.Sequential(
    nn.Conv2d(1, 4, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(4, 1, 4, 1, 0, bias=False),
    nn.Sigmoid(),
)
netG.apply(weights_init)
netD.apply(weights_init)
crit = nn.BCELoss()
label = torch.full((16,), 1.0, dtype=torch.float, device=device)
out = netD(data[:16]).view(-1)
e = crit(out, label)
e.backward()
D_x = out.mean().item()
noise = torch.randn(16, 6, 1, 1)
fk = netG(noise)
label.fill_(0)
out = netD(fk.detach()).view(-1)
e2 = crit(out, label)
e2.backward()
print(e.item(), e2.item(), D_x, fk.shape)
# wgan-gp
alpha = torch.rand(16, 1, 1, 1)
inter = (alpha * data[:16] + (1 - alpha) * fk).requires_grad_(True)
d = netD(inter)
grads = torch.autograd.grad(
    outputs=d,
    inputs=inter,
    grad_outputs=torch.ones_like(d),
    create_graph=True,
    retain_graph=True,
    only_inputs=True,
)[0]
gp = ((grads.view(16, -1).norm(2, dim=1) - 1) ** 2).mean()
gp.backward()
print(gp, netD[0].weight.grad.norm())
for p in D.parameters():
    p.data.clamp_(-0.01, 0.01)
print(max(p.abs().max().item() for p in D.parameters()))
