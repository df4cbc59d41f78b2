document.querySelectorAll('.compare input').forEach(slider => slider.addEventListener('input', () => {
  slider.parentElement.querySelectorAll('img')[1].style.clipPath = `inset(0 0 0 ${slider.value}%)`;
}));
const zoom = document.getElementById('zoom');
document.querySelectorAll('.images figure:not(.compare) img').forEach(image => {
  image.addEventListener('click', () => {
    zoom.firstElementChild.src = image.src;
    zoom.style.display = 'grid';
  });
});
zoom.addEventListener('click', () => { zoom.style.display = 'none'; });
